/** What the service manager hears of a daemon. */
import { expect } from 'chai';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { reloadResult } from '../../daemon/control/messages.ts';
import { callControl } from '../../daemon/control/client.ts';
import { DaemonFixture, mebibyte, type Watched } from '../helpers/daemon-fixture.ts';
import { iserdPath, repository } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';
import { waitUntil } from '../helpers/wait.ts';

describe('a service manager', function () {
  this.timeout(60_000);
  const suite = DaemonFixture.perSuite();
  const fixture = DaemonFixture.perTest();
  let tgt: Tgt;
  let directory: string;
  let heard: Watched;

  before(async () => {
    const lun = { sizeBytes: mebibyte };
    tgt = await suite.tgt({ luns: [lun, lun] });
  });
  beforeEach(async () => {
    directory = fixture.directory();
    const program = join(repository, 'test/helpers/notifications.py');
    heard = fixture.spawn('python3', [program, join(directory, 'notify')]);
    await waitUntil('it listens', () => heard.stdout !== '');
  });

  const control = (): string => join(directory, 'control');
  const messages = (): string[] => heard.stdout.split('\n').slice(1, -1);
  const hears = (pattern: RegExp): Promise<void> =>
    waitUntil(`it hears ${pattern.source}`, () => messages().some((each) => pattern.test(each)));
  const dead = (): string => `iscsi://127.0.0.1:1/${tgt.targetName}/1`;

  const volume = (name: string, url: string, ...lines: readonly string[]): string =>
    [
      ...['[[volume]]', `name = "${name}"`, `url = "${url}"`, `socket = "${directory}/${name}"`],
      ...[...lines, ''],
    ].join('\n');

  function configure(...volumes: readonly string[]): void {
    const text = [`[control]\nsocket = "${control()}"\n`, ...volumes].join('\n');
    writeFileSync(join(directory, 'iserd.toml'), text);
  }

  function start(more: NodeJS.ProcessEnv = {}): Watched {
    const argv = [iserdPath, '--config', join(directory, 'iserd.toml')];
    const env = { ...process.env, NOTIFY_SOCKET: join(directory, 'notify'), ...more };
    return fixture.spawn(process.execPath, argv, ['ignore', 'pipe', 'pipe'], env);
  }

  it('hears READY when every required volume serves, and until then what is waited for', async () => {
    const impatient = 'login_timeout = 0.3';
    configure(volume('good', tgt.urls[0]), volume('data', dead(), 'required = true', impatient));
    start();
    await hears(/^EXTEND_TIMEOUT_USEC=\d+$/);
    await hears(/^STATUS=1 of 2 volumes serve, waiting for data: no login in time: .*refused/);
    expect(messages().some((each) => each.includes('READY'))).to.equal(false);
    configure(volume('good', tgt.urls[0]), volume('data', tgt.urls[1], 'required = true'));
    const result = reloadResult.parse(await callControl(control(), 'reload'));
    expect(result.volumes.map(({ outcome }) => outcome)).to.deep.equal(['unchanged', 'changed']);
    await hears(/^READY=1 STATUS=2 of 2 volumes serve$/);
  });

  it('hears READY although a volume that is not required does not serve', async () => {
    configure(volume('good', tgt.urls[0]), volume('data', dead(), 'login_timeout = 0.3'));
    start();
    await hears(/^READY=1 STATUS=1 of 2 volumes serve, waiting for data: /);
  });

  it('hears of a reload, and of the end', async () => {
    configure();
    const daemon = start();
    await hears(/^READY=1 STATUS=no volumes yet$/);
    configure(volume('good', tgt.urls[0]));
    await callControl(control(), 'reload');
    await hears(/^READY=1 STATUS=1 of 1 volumes serve$/);
    const reloading = messages().findIndex((each) => /^RELOADING=1 MONOTONIC_USEC=\d+$/.test(each));
    const ready = messages().findIndex((each) => each.startsWith('READY=1 STATUS=1 of 1'));
    expect(reloading).to.be.within(0, ready - 1);
    daemon.child.kill('SIGTERM');
    const { code, stderr } = await daemon.ended;
    expect(code, stderr).to.equal(0);
    await hears(/^STOPPING=1 /);
    const stopping = messages().findIndex((each) => each.startsWith('STOPPING=1'));
    expect(messages()[stopping + 1]).to.match(/^EXTEND_TIMEOUT_USEC=\d+$/);
  });

  it('hears WATCHDOG as long as the daemon is alive', async () => {
    configure(volume('good', tgt.urls[0]));
    start({ WATCHDOG_USEC: '400000' });
    await hears(/^WATCHDOG=1$/);
    const count = (): number => messages().filter((each) => each === 'WATCHDOG=1').length;
    const before = count();
    await waitUntil('it hears more', () => count() >= before + 3);
  });
});
