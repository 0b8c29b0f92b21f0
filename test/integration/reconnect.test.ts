/** The target goes away and comes back: what clients notice (nothing, in time), and what they get when it does not. */
import { expect } from 'chai';
import { DaemonFixture, mebibyte, type ServingDaemon } from '../helpers/daemon-fixture.ts';
import { NbdSocketClient } from '../helpers/nbd-socket.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

const sizeBytes = 64 * mebibyte;
/** NBD_EIO (proto.md: Error values). */
const ioError = 5;
const block = (value: number): Uint8Array => new Uint8Array(64 * 1024).fill(value);

describe('a target that goes away', function () {
  this.timeout(120_000);
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;

  beforeEach(async () => {
    tgt = await fixture.tgt({ luns: [{ sizeBytes }] });
  });

  const session = async (daemon: ServingDaemon) => (await daemon.status()).volumes[0].sessions[0];

  /** fio writes all of the logical unit at random and verifies it, slowly enough to be interrupted in both. */
  function fio(uri: string) {
    return fixture.spawn('fio', [
      '--name=verify',
      '--ioengine=nbd',
      `--uri=${uri}`,
      '--rw=randwrite',
      '--bsrange=4k-64k',
      '--iodepth=16',
      '--size=48m',
      '--rate=16m,16m',
      '--verify=crc32c',
      '--verify_fatal=1',
      '--verify_state_save=0',
      '--serialize_overlap=1',
    ]);
  }

  async function crash(daemon: ServingDaemon): Promise<void> {
    await tgt.kill();
    await waitUntil('the loss is noticed', async () => (await session(daemon)).state !== 'up');
    await tgt.launch();
  }

  it('under a verifying client, while it writes and while it reads, costs only time', async () => {
    const daemon = await fixture.serve(tgt.urls[0]);
    const client = fio(daemon.uri);
    await waitUntil('there are writes', async () => (await session(daemon)).writes > 100);
    await crash(daemon);
    await waitUntil('it verifies', async () => (await session(daemon)).reads > 100, 60_000);
    await crash(daemon);
    const { code, stdout, stderr } = await client.ended;
    expect(code, stdout + stderr + daemon.iserd.log).to.equal(0);
    expect(await session(daemon)).to.include({ state: 'up', reconnects: 2, errors: 0 });
  });

  it('while nobody uses it is there again for the next request', async () => {
    const daemon = await fixture.serve(tgt.urls[0]);
    const client = await NbdSocketClient.connect(daemon.socket);
    expect((await client.write(0, block(1))).error).to.equal(0);
    await crash(daemon);
    const { error, data } = await client.read(0, block(1).length);
    expect(error).to.equal(0);
    expect(data.equals(block(1))).to.equal(true);
  });

  it('longer than the replacement timeout is an I/O error, and works again when it is back', async () => {
    const daemon = await fixture.serve(tgt.urls[0], '--replacement-timeout', '2');
    const client = await NbdSocketClient.connect(daemon.socket);
    expect((await client.write(0, block(2))).error).to.equal(0);
    await tgt.kill();
    const before = performance.now();
    const answers = await Promise.all([
      client.read(0, 4096),
      client.write(0, block(3)),
      client.flush(),
    ]);
    expect(answers.map(({ error }) => error)).to.deep.equal([ioError, ioError, ioError]);
    expect(performance.now() - before).to.be.within(1500, 20_000);
    expect(daemon.iserd.child.exitCode).to.equal(null);
    await tgt.launch();
    await waitUntil(
      'the session is up',
      async () => (await session(daemon)).state === 'up',
      60_000,
    );
    expect((await client.write(0, block(4))).error).to.equal(0);
    expect((await client.read(0, block(4).length)).data.equals(block(4))).to.equal(true);
    expect((await session(daemon)).inFlight).to.equal(0);
    const { code, stderr } = await daemon.iserd.stop();
    expect(code, stderr).to.equal(0);
  });

  it('does not keep the daemon from ending on SIGTERM with requests outstanding', async () => {
    const daemon = await fixture.serve(tgt.urls[0], '--replacement-timeout', '3');
    const client = await NbdSocketClient.connect(daemon.socket);
    await tgt.kill();
    const answer = client.write(0, block(5));
    await waitUntil('the request is in', async () => (await session(daemon)).inFlight === 1);
    const end = await daemon.iserd.stop();
    expect(end.code, end.stderr).to.equal(0);
    expect((await answer).error).to.equal(ioError);
  });

  it('without a word, its host hanging, is found out by pings', async () => {
    const directory = fixture.directory();
    const control = `${directory}/control`;
    const file = fixture.file(`
[control]
socket = "${control}"
[[volume]]
name = "hanging"
url = "${tgt.urls[0]}"
socket = "${directory}/nbd"
nop_interval = 1
nop_timeout = 1
login_timeout = 2
`);
    const iserd = await fixture.iserd('--config', file);
    const client = await NbdSocketClient.connect(`${directory}/nbd`);
    expect((await client.write(0, block(6))).error).to.equal(0);
    tgt.signal('SIGSTOP');
    const writes = Promise.all(
      [7, 8, 9].map((value) => client.write(value * 65_536, block(value))),
    );
    await waitUntil('a ping is missed', () => iserd.log.includes('end=nop-timeout'), 30_000);
    tgt.signal('SIGCONT');
    expect((await writes).map(({ error }) => error)).to.deep.equal([0, 0, 0]);
    for (const value of [7, 8, 9]) {
      const { data } = await client.read(value * 65_536, block(value).length);
      expect(data.equals(block(value)), `block ${value}`).to.equal(true);
    }
  });

  it('and comes back with another logical unit is not written to', async () => {
    const daemon = await fixture.serve(tgt.urls[0], '--replacement-timeout', '20');
    const client = await NbdSocketClient.connect(daemon.socket);
    expect((await client.write(0, block(10))).error).to.equal(0);
    // Nobody may log in while the logical unit is changed.
    await tgt.admin('--op', 'unbind', '--mode', 'target', '--tid', '1', '-I', 'ALL');
    const unit = ['--op', 'update', '--mode', 'logicalunit', '--tid', '1', '--lun', '1'];
    await tgt.admin(...unit, '--params', 'scsi_sn=another,scsi_id=another');
    const connections = await tgt.admin('--op', 'show', '--mode', 'conn', '--tid', '1');
    const sid = /Session: (\d+)/.exec(connections)?.[1] ?? '';
    await tgt.admin('--op', 'delete', '--mode', 'conn', '--tid', '1', '--sid', sid, '--cid', '0');
    await waitUntil('the loss is noticed', async () => (await session(daemon)).state !== 'up');
    const answer = client.write(0, block(11));
    await tgt.admin('--op', 'bind', '--mode', 'target', '--tid', '1', '-I', 'ALL');
    expect((await answer).error).to.equal(ioError);
    const reason = /another logical unit answers now/;
    await waitUntil('the log says so', () => reason.test(daemon.iserd.log));
    const volume = async () => (await daemon.status()).volumes[0];
    await waitUntil('the volume fails', async () => (await volume()).state === 'failed');
    expect((await volume()).failure).to.match(reason);
    expect(daemon.iserd.child.exitCode).to.equal(null);
  });
});
