/** A thousand reconnects leave nothing behind. */
import { expect } from 'chai';
import { Lane } from '../../daemon/lane/lane.ts';
import { makeIsid } from '../../src/iscsi/isid.ts';
import { parseTargetUrl } from '../../src/iscsi/url.ts';
import { DaemonFixture, mebibyte } from '../helpers/daemon-fixture.ts';
import { openFds, ReconnectingSession, residentBytes } from '../helpers/reconnect-cycles.ts';

const cycles = 1000;
/** Cycles after which the heaps have their size: what each cycle allocates goes only when V8 collects it. */
const warmUp = 1000;
const allowedGrowthBytes = 16 * mebibyte;

describe(`${cycles} reconnects over TCP`, function () {
  this.timeout(120_000);
  const fixture = DaemonFixture.perTest();

  it('leave descriptors, buffers and memory as they were', async () => {
    const tgt = await fixture.tgt({ luns: [{ sizeBytes: mebibyte }] });
    const { host, port, targetName = '', lun = 0 } = parseTargetUrl(tgt.urls[0]);
    const lane = new Lane(
      {
        registration: 'cache',
        pinLimitBytes: 4 * mebibyte,
        arenaBytes: 4 * mebibyte,
        hugePages: false,
        spinMicroseconds: 0,
        requestCapacity: 16,
        lanes: 1,
        sessions: 1,
      },
      () => undefined,
    );
    fixture.onCleanUp(() => lane.handlers.close({}));
    const reconnecting = new ReconnectingSession(lane, {
      volume: 'cycles',
      transport: 'tcp',
      portals: [{ host, port }],
      targetName,
      lun,
      initiatorName: 'iqn.2026-11.test:cycles',
      isid: makeIsid(0x1234, 1),
      headerDigest: 'none',
      dataDigest: 'none',
      readOnly: false,
      replacementTimeoutMs: Infinity,
      commandTimeoutMs: 20_000,
      loginTimeoutMs: 20_000,
      startTimeoutMs: 20_000,
      nopIntervalMs: 5000,
      nopTimeoutMs: 5000,
    });
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
