/** Sessions on lanes: one volume on two lanes, many volumes on few lanes. */
import { expect } from 'chai';
import { randomFillSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { callControl } from '../../daemon/control/client.ts';
import { statusSchema } from '../../daemon/control/protocol.ts';
import { DaemonFixture, mebibyte, qemuIo } from '../helpers/daemon-fixture.ts';
import { NbdSocketClient } from '../helpers/nbd-socket.ts';
import { runOk } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

/** nbdcopy gives each of its threads 128 MiB at a time: with less than two such parts there is one connection. */
const copiedBytes = 300 * mebibyte;
const sizeBytes = 64 * mebibyte;
const volumeCount = 5;

describe('lanes', function () {
  this.timeout(120_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;

  before(async () => {
    const luns = Array.from({ length: volumeCount }, () => ({ sizeBytes }));
    tgt = await suite.tgt({ luns: [...luns, { sizeBytes: copiedBytes }] });
  });

  it('carry one volume by two sessions, each with its share of the connections', async () => {
    const { uri, ...daemon } = await serveTwoLanes();
    const directory = fixture.directory();
    const there = join(directory, 'there');
    const back = join(directory, 'back');
    writeFileSync(there, randomFillSync(Buffer.alloc(copiedBytes)));
    await runOk('nbdcopy', ['--connections=4', '--flush', there, uri]);
    await runOk('nbdcopy', ['--connections=4', uri, back]);
    const expected = readFileSync(there);
    expect(readFileSync(back).equals(expected), 'what came back').to.equal(true);
    expect(readFileSync(tgt.files[volumeCount]).equals(expected), 'what the target has').to.equal(
      true,
    );
    const status = await daemon.status();
    expect(status.lanes).to.have.length(2);
    const [{ sessions }] = status.volumes;
    expect(sessions).to.have.length(2);
    for (const session of sessions) {
      expect(session).to.include({ state: 'up', errors: 0 });
      expect(session.bytesWritten).to.be.greaterThan(0);
      expect(session.bytesRead).to.be.greaterThan(0);
    }
    const written = sessions.reduce((sum, session) => sum + session.bytesWritten, 0);
    expect(written).to.be.at.least(copiedBytes);
  });

  it('see at once what another connection has written and flushed', async () => {
    const { socket } = await serveTwoLanes();
    const [first, second] = [
      await NbdSocketClient.connect(socket),
      await NbdSocketClient.connect(socket),
    ];
    for (let round = 1; round <= 20; round++) {
      const block = new Uint8Array(4096).fill(round);
      expect((await first.write(round * 4096, block)).error).to.equal(0);
      expect((await first.flush()).error).to.equal(0);
      const { error, data } = await second.read(round * 4096, block.length);
      expect(error).to.equal(0);
      expect(data.equals(block), `round ${round}`).to.equal(true);
    }
  });

  it('are shared by five volumes that work at once', async () => {
    const directory = fixture.directory();
    const control = join(directory, 'control');
    const urls = tgt.urls.slice(0, volumeCount);
    const volumes = urls.map(
      (url, index) =>
        `[[volume]]\nname = "v${index}"\nurl = "${url}"\nsocket = "${directory}/v${index}"\n`,
    );
    await fixture.iserd(
      '--config',
      fixture.file(`[control]\nsocket = "${control}"\n${volumes.join('')}`),
    );
    const status = async () => statusSchema.parse(await callControl(control, 'status'));
    await waitUntil('all volumes serve', async () =>
      (await status()).volumes.every(({ state }) => state === 'serving'),
    );
    await Promise.all(
      urls.map((_, index) =>
        qemuIo(
          `nbd+unix:///v${index}?socket=${directory}/v${index}`,
          `write -P ${index + 1} 0 32M`,
          'flush',
          `read -P ${index + 1} 0 32M`,
        ),
      ),
    );
    tgt.files.slice(0, volumeCount).forEach((file, index) => {
      const expected = Buffer.alloc(32 * mebibyte, index + 1);
      expect(readFileSync(file).subarray(0, expected.length).equals(expected), file).to.equal(true);
    });
    const { lanes } = await status();
    expect(lanes).to.have.length(Math.min(volumeCount, availableParallelism()));
    expect(lanes.map(({ requestsInFlight }) => requestsInFlight)).to.deep.equal(lanes.map(() => 0));
  });

  async function serveTwoLanes() {
    const daemon = await fixture.serve(tgt.urls[volumeCount], '--lanes', '2');
    return { uri: daemon.uri, socket: daemon.socket, status: () => daemon.status() };
  }
});
