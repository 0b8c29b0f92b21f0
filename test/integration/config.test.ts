/** `iserd --config FILE`: several volumes, and files that cannot be used. */
import { expect } from 'chai';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { statusSchema, type Status } from '../../daemon/control/protocol.ts';
import { callControl } from '../../daemon/control/client.ts';
import {
  DaemonFixture,
  mebibyte,
  qemuIo,
  runIserctl,
  runIserd,
} from '../helpers/daemon-fixture.ts';
import { iserdPath } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitForSocket, waitUntil } from '../helpers/wait.ts';

describe('iserd --config', function () {
  this.timeout(90_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  let directory: string;

  before(async () => {
    tgt = await suite.tgt({ luns: [{ sizeBytes: 16 * mebibyte }, { sizeBytes: 8 * mebibyte }] });
  });
  beforeEach(() => {
    directory = fixture.directory();
  });

  const control = (): string => join(directory, 'control');
  const status = async (): Promise<Status> =>
    statusSchema.parse(await callControl(control(), 'status'));

  function volume(name: string, url: string, ...lines: readonly string[]): string {
    return [
      '[[volume]]',
      `name = "${name}"`,
      `url = "${url}"`,
      `socket = "${directory}/${name}"`,
      ...lines,
      '',
    ].join('\n');
  }

  function configFile(...volumes: readonly string[]): string {
    return fixture.file(`[control]\nsocket = "${control()}"\n\n${volumes.join('\n')}`);
  }

  it('serves every volume of the file', async () => {
    const file = configFile(
      volume('one', tgt.urls[0]),
      volume('two', tgt.urls[1], 'read_only = true'),
    );
    await fixture.iserd('--config', file);
    await waitUntil('both serve', async () =>
      (await status()).volumes.every(({ state }) => state === 'serving'),
    );
    const { volumes } = await status();
    expect(
      volumes.map(({ name, sizeBytes, readOnly }) => ({ name, sizeBytes, readOnly })),
    ).to.deep.equal([
      { name: 'one', sizeBytes: 16 * mebibyte, readOnly: false },
      { name: 'two', sizeBytes: 8 * mebibyte, readOnly: true },
    ]);
    await qemuIo(`nbd+unix:///one?socket=${directory}/one`, 'write -P 9 0 64k', 'read -P 9 0 64k');
  });

  it('serves the volume that can be had at once, and says why the other one has to wait', async () => {
    const dead = `iscsi://127.0.0.1:1/${tgt.targetName}/1`;
    const file = configFile(volume('good', tgt.urls[0]), volume('dead', dead, 'login_timeout = 1'));
    const daemon = await fixture.iserd('--config', file);
    expect(daemon.uri).to.include('/good?');
    await qemuIo(daemon.uri ?? '', 'write -P 7 1M 64k', 'read -P 7 1M 64k');
    await waitUntil(
      'the other one waits',
      async () => (await status()).volumes[1].state === 'waiting',
    );
    const { volumes } = await status();
    expect(volumes[0]).to.include({ name: 'good', state: 'serving', failure: null });
    expect(volumes[1].failure).to.match(/no login in time: 127\.0\.0\.1:1: connect-refused/);
    const { stdout } = await runIserctl('status', '--socket', control());
    expect(stdout).to.match(/^volume dead is (waiting|starting): .*connect-refused/m);
    const { code, stderr } = await daemon.stop();
    expect(code, stderr).to.equal(0);
  });

  it('answers iserctl while a volume is still being started', async () => {
    const silent = createServer().listen(0, '127.0.0.1');
    fixture.onCleanUp(() => silent.close());
    await new Promise((resolve) => silent.once('listening', resolve));
    const { port } = silent.address() as { port: number };
    const file = configFile(volume('silent', `iscsi://127.0.0.1:${port}/${tgt.targetName}/1`));
    const daemon = fixture.spawn(process.execPath, [iserdPath, '--config', file]);
    await waitForSocket(control());
    await waitUntil('the volume is being started', async () =>
      (await status()).volumes.some(({ state }) => state === 'starting'),
    );
    expect(daemon.child.exitCode).to.equal(null);
  });

  it('goes on when no volume can be had, and says why', async () => {
    const dead = `iscsi://127.0.0.1:1/${tgt.targetName}/1`;
    const file = configFile(
      volume('a', dead, 'login_timeout = 1'),
      volume('b', tgt.urls[0].replace(/1$/, '9')),
    );
    const daemon = fixture.spawn(process.execPath, [iserdPath, '--config', file]);
    await waitUntil('both have been tried', () =>
      ['a', 'b'].every((name) => daemon.stderr.includes(`error: volume ${name}: `)),
    );
    await waitUntil('they wait', async () =>
      (await status()).volumes.every(({ failure }) => failure !== null),
    );
    daemon.child.kill('SIGTERM');
    const { code, stderr } = await daemon.ended;
    expect(code, stderr).to.equal(0);
    expect(stderr).to.match(/ error: volume a: no login in time/);
    expect(stderr).to.match(/ error: volume b: there is no logical unit at this LUN/);
  });

  it('is refused to a second daemon before that one takes the sessions of the first', async () => {
    const file = configFile(volume('one', tgt.urls[0]));
    await fixture.iserd('--config', file);
    const second = await runIserd('--config', file);
    expect(second.code, second.stderr).to.equal(1);
    expect(second.stderr).to.match(/ error: another daemon answers on .*control/);
    expect((await status()).volumes[0].sessions[0].reconnects).to.equal(0);
  });

  it('takes over the sessions of a daemon that was killed', async () => {
    const file = configFile(volume('one', tgt.urls[0]));
    await (await fixture.iserd('--config', file)).stop('SIGKILL');
    const daemon = await fixture.iserd('--config', file);
    await qemuIo(daemon.uri ?? '', 'write -P 3 0 4k', 'read -P 3 0 4k');
    const sessions = await tgt.admin('--op', 'show', '--mode', 'conn', '--tid', '1');
    expect(sessions.match(/Initiator:/g) ?? []).to.have.length(1);
  });

  it('refuses an unknown key with file, line and exit code 2', async () => {
    const file = configFile(volume('one', tgt.urls[0], 'read_onyl = true'));
    const { code, stderr } = await runIserd('--config', file);
    expect(code).to.equal(2);
    expect(stderr).to.equal(`iserd: ${file}:8: volume.#1.read_onyl: unknown key\n`);
  });

  it('refuses a file that is not TOML with file and line', async () => {
    const file = fixture.file('[control]\nsocket /run/x\n');
    const { code, stderr } = await runIserd('--config', file);
    expect(code).to.equal(2);
    expect(stderr).to.match(new RegExp(`^iserd: ${file}:2: [^\n]*\n$`));
  });

  it('waits for volumes to come when the file has none', async () => {
    const daemon = fixture.spawn(process.execPath, [iserdPath, '--config', configFile()]);
    await waitForSocket(control());
    expect((await status()).volumes).to.deep.equal([]);
    daemon.child.kill('SIGTERM');
    const { code, stderr } = await daemon.ended;
    expect(code, stderr).to.equal(0);
  });

  it('refuses a secret file that others may read', async () => {
    const secret = fixture.file('twelve bytes', 0o644);
    const lines = ['chap_user = "joe"', `chap_secret_file = "${secret}"`];
    const { code, stderr } = await runIserd(
      '--config',
      configFile(volume('one', tgt.urls[0], ...lines)),
    );
    expect(code).to.equal(2);
    expect(stderr).to.match(/mode 0644 lets others read the secret/);
  });
});
