/**
 * The daemon ends in every way there is while its device is in use, and comes back: a mounted, busy ext4 must not notice.
 *
 * ISERD_RESTART_ROUNDS: how often each kind of restart happens to each file system (default: a few times).
 */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { Watched } from '../../helpers/daemon-fixture.ts';
import { iserctlPath, iserdPath, run, runOk, type Finished } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { isAttached, waitingProcesses } from '../guest/block-device.ts';
import { BusyFileSystem } from '../guest/busy-file-system.ts';
import { initiatorOptions, targets, ways } from '../guest/machine.ts';
import { ServedVolume } from '../guest/served-volume.ts';

const rounds = process.env['ISERD_RESTART_ROUNDS'];
/** Of a daemon's start under emulation, on a machine that is busy with other things. */
const startTimeoutMs = 180_000;
const progressTimeoutMs = 120_000;

/** What the kernel logs when it loses or gets a socket. */
async function socketChanges(): Promise<number> {
  const log = await runOk('dmesg', []);
  return (log.match(/nbd\d+: (reconnected socket|Receive control failed|shutting down)/g) ?? [])
    .length;
}

function iserctl(...argv: readonly string[]): Promise<Finished> {
  return run(process.execPath, [iserctlPath, ...argv]);
}

function show(what: string, stalls: readonly number[]): void {
  const sorted = stalls.map((ms) => Math.round(ms / 100) / 10).sort((a, b) => a - b);
  console.log(
    `      ${stalls.length} × ${what}: stall ${sorted[0]} to ${sorted.at(-1)} s, median ${sorted[sorted.length >> 1]} s`,
  );
}

for (const { way, times } of [
  { way: ways.find(({ name }) => name === 'LIO over TCP'), times: 3 },
  { way: ways.find(({ name }) => name === 'tgt over iSER'), times: 2 },
]) {
  if (way === undefined) throw new Error('no such way');
  const restarts = Number(rounds ?? times);

  describe(`a mounted, busy ext4 over ${way.name}`, function () {
    this.timeout(startTimeoutMs + restarts * startTimeoutMs);
    let volume: ServedVolume;
    let busy: BusyFileSystem;
    let device = '';

    before(async () => {
      volume = await ServedVolume.start(way.url);
      device = volume.device;
      busy = await BusyFileSystem.start(device, join(volume.directory, 'mount'));
    });
    after(async () => {
      await busy.abandon();
      await volume.remove();
    });

    it('goes on after each kill -9 and a new start', async () => {
      const stalls: number[] = [];
      for (let i = 0; i < restarts; i++) {
        const started = performance.now();
        await volume.kill();
        await volume.start();
        expect(volume.device).to.equal(device);
        await busy.progress(progressTimeoutMs);
        stalls.push(performance.now() - started);
      }
      show('kill -9', stalls);
    });

    it('goes on after each planned restart, of which the kernel notices nothing', async () => {
      const before = await socketChanges();
      const { pid } = volume;
      const stalls: number[] = [];
      for (let i = 0; i < restarts; i++) {
        const started = performance.now();
        await volume.restartInPlace(i % 2 === 0 ? 'signal' : 'control socket');
        await busy.progress(progressTimeoutMs);
        stalls.push(performance.now() - started);
      }
      show('planned restart', stalls);
      expect(volume.pid).to.equal(pid);
      expect(await socketChanges()).to.equal(before);
    });

    it('goes on after a clean stop, which says that it keeps the device', async () => {
      const { code, stderr } = await volume.stop();
      expect(code, stderr).to.equal(0);
      expect(stderr).to.match(
        new RegExp(`${device} is in use \\(mounted on \\S+\\): it stays attached`),
      );
      expect(isAttached(device)).to.equal(true);
      await volume.start();
      await busy.progress(progressTimeoutMs);
    });

    it('is clean in the end, with everything that was acknowledged', async () => {
      const { written, longestWrite } = await busy.finish();
      console.log(
        `      ${written} files written, the longest took ${Math.round(longestWrite)} ms`,
      );
      expect(await waitingProcesses()).to.deep.equal([]);
      const { code } = await volume.stop();
      expect(code).to.equal(0);
      expect(isAttached(device)).to.equal(false);
    });
  });
}

describe('a service manager that keeps descriptors', function () {
  this.timeout(4 * startTimeoutMs);
  let volume: ServedVolume;
  let manager: Watched | undefined;

  before(() => {
    volume = new ServedVolume('lio_tcp_url');
  });
  after(async () => {
    manager?.child.kill('SIGTERM');
    await manager?.ended;
    await volume.remove();
  });

  it('restarts the daemon under a busy ext4 with two lanes, and the kernel notices nothing', async () => {
    const argv = [
      'test/vm/guest/service-manager.py',
      join(volume.directory, 'notify'),
      ...[process.execPath, iserdPath, 'serve', await targets.variable('lio_tcp_url')],
      ...[...initiatorOptions(), '--device', 'auto', '--lanes', '2'],
    ];
    const daemon = new Watched(spawn('python3', argv, { stdio: ['ignore', 'pipe', 'pipe'] }));
    manager = daemon;
    const ready = (times: number) =>
      waitUntil(
        'the daemon is ready',
        () => {
          if (daemon.child.exitCode !== null) throw new Error(daemon.stderr);
          return (daemon.stdout.match(/^ready /gm)?.length ?? 0) >= times;
        },
        startTimeoutMs,
      ).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}\n${daemon.stderr}`);
      });
    await ready(1);
    const device = /device=(\S+)/.exec(daemon.stdout)?.[1] ?? '';
    const busy = await BusyFileSystem.start(device, join(volume.directory, 'mount'));
    try {
      const before = await socketChanges();
      for (let i = 2; i <= 3; i++) {
        daemon.child.kill('SIGHUP');
        await ready(i);
        await busy.progress(progressTimeoutMs);
      }
      expect(await socketChanges(), daemon.stderr).to.equal(before);
      await busy.finish();
    } finally {
      await busy.abandon();
    }
  });
});

describe('a device that nobody serves again', () => {
  const waiters: Watched[] = [];
  let volume: ServedVolume;

  function write(): Watched {
    const argv = ['if=/dev/zero', `of=${volume.device}`, 'bs=4k', 'count=1', 'oflag=direct'];
    const waiter = new Watched(spawn('dd', argv, { stdio: ['ignore', 'pipe', 'pipe'] }));
    waiters.push(waiter);
    return waiter;
  }

  before(async () => {
    volume = await ServedVolume.start('tgt_tcp_url', '--dead-conn-timeout', '3');
    await write().ended;
  });
  after(() => volume.remove());

  it('fails new I/O when its time is up', async () => {
    process.kill(volume.pid, 'SIGSTOP');
    // In flight: this one is in the socket when the daemon dies.
    const inFlight = write();
    await waitUntil('it waits', async () => (await waitingProcesses()).includes('dd'));
    await volume.kill();
    const { code, stderr } = await write().ended;
    expect(code).to.equal(1);
    expect(stderr).to.contain('Input/output error');
    expect(inFlight.child.exitCode).to.equal(null);
  });

  it('lets go of everybody who waits when it is given up', async () => {
    const { code, stderr } = await iserctl('detach', '--force', volume.device);
    expect(code, stderr).to.equal(0);
    for (const waiter of waiters) await waiter.ended;
    expect(waiters[1].stderr).to.contain('Input/output error');
    expect(await waitingProcesses()).to.deep.equal([]);
    expect(isAttached(volume.device)).to.equal(false);
  });
});

describe('a device that is in use', () => {
  let volume: ServedVolume;
  let user: ChildProcess | undefined;

  before(async () => {
    volume = await ServedVolume.start('lio_tcp_thin_url', '--force');
    user = spawn('sh', ['-c', `exec 3<>${volume.device}; echo open; exec sleep 600`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => user?.stdout?.once('data', resolve));
  });
  after(async () => {
    user?.kill();
    await volume.remove();
  });

  it('is refused to a second daemon, which says who serves it', async () => {
    const url = await targets.variable('lio_tcp_thin_url');
    const argv = [iserdPath, 'serve', url, ...initiatorOptions(), '--device', 'auto'];
    const { code, stderr } = await run(process.execPath, argv);
    expect(code).to.equal(1);
    expect(stderr).to.match(new RegExp(`is served by process ${volume.pid} \\(.*serve `));
    expect(await volume.sessionState()).to.equal('up');
  });

  it('is not given up by iserctl, which says who uses it', async () => {
    const { code, stderr } = await iserctl('detach', volume.device);
    expect(code).to.equal(1);
    expect(stderr).to.match(/in use \(open in process \d+ \(sleep\)\)/);
  });

  it('is detached at the end all the same with --force', async () => {
    const { device } = volume;
    const { code, stderr } = await volume.stop();
    expect(code, stderr).to.equal(0);
    const read = await run('dd', [
      ...[`if=${device}`, 'of=/dev/null', 'bs=4k', 'count=1', 'iflag=direct'],
    ]);
    expect(read.stderr).to.contain('Input/output error');
    user?.kill();
    await waitUntil('the device is idle', () => !isAttached(device));
  });
});
