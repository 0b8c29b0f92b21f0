/** A thousand reconnects leave nothing behind. */
import { expect } from 'chai';
import { DaemonFixture, mebibyte } from '../helpers/daemon-fixture.ts';
import { openFds, ownLane, residentBytes, sessionSpec } from '../helpers/own-lane.ts';
import { ReconnectingSession } from '../helpers/reconnect-cycles.ts';

const cycles = 1000;
/** Cycles after which the heaps have their size: what each cycle allocates goes only when V8 collects it. */
const warmUp = 1000;
const allowedGrowthBytes = 16 * mebibyte;

describe(`${cycles} reconnects over TCP`, function () {
  this.timeout(120_000);
  const fixture = DaemonFixture.perTest();

  it('leave descriptors, buffers and memory as they were', async () => {
    const tgt = await fixture.tgt({ luns: [{ sizeBytes: mebibyte }] });
    const lane = ownLane(4 * mebibyte);
    fixture.onCleanUp(() => lane.handlers.close({}));
    const reconnecting = new ReconnectingSession(
      lane,
      sessionSpec(tgt.urls[0], 'iqn.2026-11.test:cycles'),
    );
    await reconnecting.session.start();
    await reconnecting.reconnect(warmUp);
    const state = () => ({ fds: openFds(), bytes: lane.memory.sessionPool.statistics.usedBytes });
    const before = state();
    const rssBefore = residentBytes();
    const began = performance.now();
    await reconnecting.reconnect(cycles);
    const seconds = (performance.now() - began) / 1000;
    const grown = residentBytes() - rssBefore;
    console.log(
      `      ${cycles} cycles in ${seconds.toFixed(1)} s, RSS ${(grown / mebibyte).toFixed(1)} MiB more`,
    );
    expect(state()).to.deep.equal(before);
    expect(grown).to.be.lessThan(allowedGrowthBytes);
    expect(reconnecting.session.statistics.logins).to.be.at.least(1 + warmUp + cycles);
    await reconnecting.session.close();
  });
});
