/** The launcher on a real kernel: what a process is after it has executed itself. */
import { expect } from 'chai';
import { join } from 'node:path';
import { system } from '../../daemon/system.ts';
import { DaemonFixture } from '../helpers/daemon-fixture.ts';
import { repository } from '../helpers/programs.ts';

/** include/linux/sched.h: PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE, set by PR_SET_IO_FLUSHER. */
const ioFlusher = 0x00080000 | 0x00100000;

interface Launched {
  readonly reason: string;
  readonly pid: number;
  readonly argv: readonly string[];
  readonly title: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly passed: readonly { readonly fd: number; readonly listening: boolean }[];
  readonly input: string;
  readonly threads: readonly number[];
}

describe('the launcher', () => {
  const fixture = DaemonFixture.perTest();

  /** Runs the program as a service manager does: a listening socket as descriptor 3, and an environment that names this process. */
  async function launch(
    environment: string,
    ...wrapper: readonly string[]
  ): Promise<Launched & { child: number }> {
    const fd = system.listenUnix(join(fixture.directory(), 'passed'), 0o600, 8);
    fixture.onCleanUp(() => {
      system.closeFd(fd);
    });
    const script = `${environment} LISTEN_PID=$$ LISTEN_FDS=1 NOTIFY_SOCKET=/run/nobody WATCHDOG_PID=$$ exec "$@"`;
    const argv = [
      '-c',
      script,
      'sh',
      ...wrapper,
      process.execPath,
      '--no-warnings',
      '--import=tsx',
    ];
    const program = join(repository, 'test/integration/programs/launched.mjs');
    const watched = fixture.spawn(
      'sh',
      [...argv, program, 'one two', '--three'],
      ['pipe', 'pipe', 'pipe', fd],
    );
    watched.child.stdin?.end('from outside');
    const { code, stdout, stderr } = await watched.ended;
    expect(code, stderr).to.equal(0);
    return { ...(JSON.parse(stdout) as Launched), child: watched.child.pid ?? 0 };
  }

  it('executes the process again, which stays the same in everything that others know of it', async () => {
    const launched = await launch('PRETEND=1');
    const { pid, child } = launched;
    expect(launched.reason).to.equal('');
    expect(pid).to.equal(child);
    expect(launched.argv.slice(1)).to.deep.equal([
      '--no-warnings',
      '--import=tsx',
      join(repository, 'test/integration/programs/launched.mjs'),
      'one two',
      '--three',
    ]);
    expect(launched.environment).to.deep.equal({
      LISTEN_PID: String(pid),
      LISTEN_FDS: '1',
      NOTIFY_SOCKET: '/run/nobody',
      WATCHDOG_PID: String(pid),
    });
    expect(launched.passed).to.deep.equal([{ fd: 3, listening: true }]);
    expect(launched.input).to.equal('from outside');
  });

  it('without CAP_SYS_RESOURCE goes on as it is, and says why', async function () {
    if (process.getuid?.() !== 0) this.skip();
    const launched = await launch('', 'setpriv', '--bounding-set=-sys_resource');
    expect(launched.reason).to.equal('CAP_SYS_RESOURCE is missing');
    for (const flags of launched.threads) expect(flags & ioFlusher).to.equal(0);
    expect(launched.passed).to.deep.equal([{ fd: 3, listening: true }]);
    expect(launched.input).to.equal('from outside');
  });
});
