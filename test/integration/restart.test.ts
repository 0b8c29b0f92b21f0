/** Daemons that follow each other, or try to serve the same volume: what of it can be seen without a kernel device. */
import { expect } from 'chai';
import { join } from 'node:path';
import { DaemonFixture, mebibyte, qemuIo, runIserd } from '../helpers/daemon-fixture.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

describe('one iserd after the other', function () {
  this.timeout(90_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes: 16 * mebibyte }] });
  });

  /** A file of its own, with the volume that all of them have. */
  function config(): { file: string; uri: string } {
    const directory = fixture.directory();
    const socket = join(directory, 'nbd');
    const file = fixture.file(
      `[control]\nsocket = "${join(directory, 'control')}"\n` +
        `[[volume]]\nname = "restarted"\nurl = "${tgt.urls[0]}"\nsocket = "${socket}"\n`,
    );
    return { file, uri: `nbd+unix:///restarted?socket=${socket}` };
  }

  it('becomes a new iserd on SIGUSR2, in the same process, and serves again', async () => {
    const { iserd, uri } = await fixture.serve(tgt.urls[0]);
    await qemuIo(uri, 'write -P 0x31 0 64k');
    iserd.child.kill('SIGUSR2');
    await waitUntil('it is ready again', () => iserd.timesReady === 2);
    await qemuIo(uri, 'read -P 0x31 0 64k');
    const { code, stderr } = await iserd.stop();
    expect(code, stderr).to.equal(0);
  });

  it('refuses a volume that another process serves, and names it', async () => {
    const first = config();
    const { child } = await fixture.iserd('--config', first.file);
    const second = fixture.spawn(process.execPath, [
      ...['dist/bin/iserd.js', '--config', config().file],
    ]);
    await waitUntil('it says so', () => second.stderr.includes('is served by'));
    expect(second.stderr).to.match(
      new RegExp(`volume restarted \\(.*is served by process ${child.pid} \\(.*--config`),
    );
    await qemuIo(first.uri, 'write -P 0x32 0 64k', 'read -P 0x32 0 64k');
  });

  it('serves the volume of a process that was killed', async () => {
    await (await fixture.iserd('--config', config().file)).stop('SIGKILL');
    const { file, uri } = config();
    await fixture.iserd('--config', file);
    await qemuIo(uri, 'write -P 0x33 0 64k', 'read -P 0x33 0 64k');
  });

  it('is not hindered by daemons whose clients come and go: they may serve the same unit', async () => {
    const first = await fixture.serve(tgt.urls[0]);
    const second = await fixture.serve(tgt.urls[0]);
    await qemuIo(first.uri, 'write -P 0x34 0 64k', 'flush');
    await qemuIo(second.uri, 'read -P 0x34 0 64k');
  });

  it('says what is wrong with the wait of a device', async () => {
    const argv = ['serve', tgt.urls[0], '--device', 'auto', '--dead-conn-timeout', '-1'];
    const { code, stderr } = await runIserd(...argv);
    expect(code).to.equal(2);
    expect(stderr).to.contain('--dead-conn-timeout');
  });
});
