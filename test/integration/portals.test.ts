/** A logical unit behind two portals: what happens when one of them goes. */
import { expect } from 'chai';
import { DaemonFixture, mebibyte, type ServingDaemon } from '../helpers/daemon-fixture.ts';
import { NbdSocketClient } from '../helpers/nbd-socket.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

const sizeBytes = 64 * mebibyte;
const block = (value: number): Uint8Array => new Uint8Array(64 * 1024).fill(value);

describe('a target with two portals', function () {
  this.timeout(120_000);
  const fixture = DaemonFixture.perTest();
  let first: Tgt;
  let second: Tgt;

  beforeEach(async () => {
    first = await fixture.tgt({ luns: [{ sizeBytes }] });
    second = await fixture.tgt({ luns: [{ sizeBytes, sharedFile: first.files[0] }] });
  });

  const session = async (daemon: ServingDaemon) => (await daemon.status()).volumes[0].sessions[0];
  const portalOf = ({ address, port }: Tgt): string => `${address}:${port}`;

  it('is served through the first one', async () => {
    const daemon = await fixture.serve(first.urls[0], '--portal', portalOf(second));
    expect((await session(daemon)).portal).to.equal(portalOf(first));
  });

  it('is served through the second one when the first is dead at the start', async () => {
    await first.kill();
    const daemon = await fixture.serve(first.urls[0], '--portal', portalOf(second));
    expect((await session(daemon)).portal).to.equal(portalOf(second));
  });

  it('of which the one in use dies under a verifying client goes on through the other', async () => {
    const daemon = await fixture.serve(first.urls[0], '--portal', portalOf(second));
    const client = fixture.spawn('fio', [
      '--name=verify',
      '--ioengine=nbd',
      `--uri=${daemon.uri}`,
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
    await waitUntil('there are writes', async () => (await session(daemon)).writes > 100);
    await first.kill();
    await waitUntil('the other portal serves', async () => {
      const { state, portal } = await session(daemon);
      return state === 'up' && portal === portalOf(second);
    });
    await first.launch();
    await waitUntil('it verifies', async () => (await session(daemon)).reads > 100, 60_000);
    await second.kill();
    const { code, stdout, stderr } = await client.ended;
    expect(code, stdout + stderr + daemon.iserd.log).to.equal(0);
    expect(await session(daemon)).to.include({
      state: 'up',
      portal: portalOf(first),
      reconnects: 2,
      errors: 0,
    });
  });

  it('of which the one in use dies answers again within a second', async () => {
    const daemon = await fixture.serve(first.urls[0], '--portal', portalOf(second));
    const client = await NbdSocketClient.connect(daemon.socket);
    expect((await client.write(0, block(1))).error).to.equal(0);
    await first.kill();
    const before = performance.now();
    const { error, data } = await client.read(0, block(1).length);
    expect(error).to.equal(0);
    expect(data.equals(block(1))).to.equal(true);
    expect(performance.now() - before).to.be.lessThan(1000);
  });

  it('of which the one in use hangs is left when pings are not answered', async () => {
    const directory = fixture.directory();
    const control = `${directory}/control`;
    const file = fixture.file(`
[control]
socket = "${control}"
[[volume]]
name = "hanging"
url = "${first.urls[0]}"
portals = ["${portalOf(second)}"]
socket = "${directory}/nbd"
nop_interval = 1
nop_timeout = 1
`);
    const iserd = await fixture.iserd('--config', file);
    const client = await NbdSocketClient.connect(`${directory}/nbd`);
    expect((await client.write(0, block(6))).error).to.equal(0);
    first.signal('SIGSTOP');
    const before = performance.now();
    const { error, data } = await client.read(0, block(6).length);
    const elapsed = performance.now() - before;
    first.signal('SIGCONT');
    expect(error, iserd.log).to.equal(0);
    expect(data.equals(block(6))).to.equal(true);
    expect(elapsed).to.be.within(500, 6000);
    expect(iserd.log).to.include('end=nop-timeout');
  });
});
