/** Memory runs out while page cache of the very device is dirty: the daemon must go on writing it back. And with which privileges. */
import { expect } from 'chai';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IserdProcess, run, runOk } from '../../helpers/programs.ts';
import { waitingProcesses } from '../guest/block-device.ts';
import { fileSystems, make, mounted } from '../guest/file-system.ts';
import { initiatorOptions, targets } from '../guest/machine.ts';
import { availableMemory, capabilities, statusBytes, threadsOf } from '../guest/process-memory.ts';
import { giveMemoryBack, leaveMemory, MemoryGroup } from '../guest/small-memory.ts';

const mebibyte = 2 ** 20;
/** A RAM disk of the target, all there from the start: writing to it takes no more memory. */
const diskMebibytes = 384;
/** What the machine has left. The target lives on it, too: it has its own copy of what is on the way. */
const leftBytes = 200 * mebibyte;
const dirtyBytes = 272 * mebibyte;
/** Emulated, alone on a machine of two cores it takes some twenty seconds; with another VM beside it, a minute. */
const timeLimitMs = 240_000;

let daemon: IserdProcess | undefined;

async function serveDevice(
  urlVariable: string,
  wrapper: readonly string[] = [],
): Promise<{ device: string; pid: number; iserd: IserdProcess }> {
  const url = await targets.variable(urlVariable);
  const argv = ['serve', url, ...initiatorOptions(), '--device', 'auto'];
  const iserd = await IserdProcess.start(argv, undefined, wrapper);
  daemon = iserd;
  return { device: iserd.device ?? '', pid: iserd.child.pid ?? 0, iserd };
}

async function stop(): Promise<void> {
  const iserd = daemon;
  daemon = undefined;
  if (iserd === undefined) return;
  const { code, stderr } = await iserd.stop();
  expect(code, stderr).to.equal(0);
}

const common = [
  ...['--name=dirty', '--bs=256k', '--verify=crc32c', '--verify_state_save=0', '--thread'],
  ...['--fallocate=none', '--invalidate=0', '--minimal'],
];

/** Command line that writes through the page cache, and waits until all is on the disk. */
function dirty(file: string): string[] {
  return [
    // Whatever is killed for memory, this goes first.
    ...[
      'choom',
      '-n',
      '500',
      '--',
      'fio',
      ...common,
      `--filename=${file}`,
      '--rw=write',
      '--ioengine=psync',
    ],
    ...[`--size=${dirtyBytes}`, '--do_verify=0', '--end_fsync=1'],
  ];
}

/** Reads some of it back past the page cache, from the start, the middle and the end. */
async function expectData(file: string): Promise<void> {
  const sampleBytes = 16 * mebibyte;
  await runOk('fio', [
    ...[...common, `--filename=${file}`, '--rw=read', '--direct=1', '--ioengine=psync'],
    ...[`--size=${sampleBytes}`, '--verify_fatal=1', '--numjobs=3'],
    `--offset_increment=${(dirtyBytes - sampleBytes) / 2}`,
  ]);
}

async function inTime(command: readonly string[]): Promise<void> {
  const [program, ...argv] = command;
  const started = performance.now();
  const { code, signal, stdout, stderr } = await run(program, argv, { timeoutMs: timeLimitMs });
  expect(signal, 'it was too slow').to.equal(null);
  expect(code, stdout + stderr).to.equal(0);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`      ${dirtyBytes / mebibyte} MiB in ${seconds} s`);
}

describe('a daemon that serves a device', () => {
  let pid = 0;
  let device = '';

  before(async () => {
    ({ pid, device } = await serveDevice('lio_iser_url'));
  });
  after(stop);
  afterEach(showLog);

  it('has I/O flushers for threads, all of them', async () => {
    await runOk('dd', [`if=${device}`, 'of=/dev/null', 'bs=1M', 'count=8', 'iflag=direct']);
    const { flushers, others } = threadsOf(pid);
    expect(others).to.equal(0);
    // Main thread, V8's four, libuv's four, the lane and its own.
    expect(flushers).to.be.at.least(6);
  });

  it('has its memory locked, and no more of it than it uses', () => {
    const resident = statusBytes(pid, 'VmRSS');
    console.log(
      `      resident ${Math.round(resident / mebibyte)} MiB, locked address space ${Math.round(statusBytes(pid, 'VmLck') / mebibyte)} MiB`,
    );
    expect(statusBytes(pid, 'VmLck')).to.be.at.least(resident / 2);
    expect(resident).to.be.below(256 * mebibyte);
  });

  it('is not what the OOM killer takes', () => {
    expect(readFileSync(`/proc/${pid}/oom_score_adj`, 'utf8').trim()).to.equal('-1000');
  });
});

describe('a daemon that serves a device, without CAP_SYS_RESOURCE', () => {
  before(async () => {
    await serveDevice('lio_iser_url', ['setpriv', '--bounding-set=-all,+sys_admin,+ipc_lock']);
  });
  after(stop);
  afterEach(showLog);

  it('has threads that are no I/O flushers, and says so in one line', () => {
    const pid = daemon?.child.pid ?? 0;
    expect(threadsOf(pid).flushers).to.equal(0);
    const warnings = daemon?.log.split('\n').filter((line) => / warn: /.test(line)) ?? [];
    expect(warnings).to.have.length(1);
    expect(warnings[0]).to.match(/may hang when memory runs out: .*CAP_SYS_RESOURCE is missing/);
  });

  it('serves all the same', async () => {
    await runOk('dd', ['if=/dev/zero', `of=${daemon?.device}`, 'bs=1M', 'count=4', 'oflag=direct']);
  });
});

describe('the least that a daemon with a device needs', () => {
  before(async () => {
    await serveDevice('lio_iser_url', [
      'setpriv',
      '--bounding-set=-all,+sys_admin,+sys_resource,+ipc_lock',
      '--no-new-privs',
    ]);
  });
  after(stop);
  afterEach(showLog);

  it('is CAP_SYS_ADMIN, CAP_SYS_RESOURCE and CAP_IPC_LOCK, over RDMA, too', async () => {
    const pid = daemon?.child.pid ?? 0;
    // capabilities(7): numbers 21, 24 and 14.
    expect(capabilities(pid, 'CapEff')).to.equal((1n << 21n) | (1n << 24n) | (1n << 14n));
    expect(threadsOf(pid).others).to.equal(0);
    await runOk('dd', ['if=/dev/zero', `of=${daemon?.device}`, 'bs=1M', 'count=4', 'oflag=direct']);
    expect(daemon?.log).not.to.match(/ (warn|error): /);
  });
});

describe('memory runs out', function () {
  this.timeout(timeLimitMs + 240_000);
  let directory = '';
  let group: MemoryGroup | undefined;

  before(async () => {
    // The tests themselves must survive to tell.
    writeFileSync('/proc/self/oom_score_adj', '-1000');
    await targets.run(`_lio_disk ram3 ${diskMebibytes} 512
      mkdir "$_fabric/$iqn_prefix:lio/tpgt_1/lun/lun_3" &&
      ln -s "$_core/ram3" "$_fabric/$iqn_prefix:lio/tpgt_1/lun/lun_3/disk" &&
      lio_large_iser_url=\${lio_iser_url%/0}/3 lio_large_tcp_url=\${lio_tcp_url%/0}/3`);
  });
  after(async () => {
    writeFileSync('/proc/self/oom_score_adj', '0');
    await targets.run(`rm "$_fabric/$iqn_prefix:lio/tpgt_1/lun/lun_3/disk" &&
      rmdir "$_fabric/$iqn_prefix:lio/tpgt_1/lun/lun_3" "$_core/ram3"`);
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-reclaim-'));
  });
  afterEach(showLog);
  afterEach(async () => {
    giveMemoryBack();
    await stop();
    await group?.remove();
    group = undefined;
    rmSync(directory, { recursive: true });
  });

  function makeScarce(): void {
    leaveMemory(leftBytes);
    expect(availableMemory(), 'what is left').to.be.below(dirtyBytes);
  }

  it('on the whole machine: more is written than there is memory, and all of it arrives', async () => {
    const { device, pid } = await serveDevice('lio_large_iser_url');
    makeScarce();
    await inTime(dirty(device));
    giveMemoryBack();
    await expectData(device);
    expect(threadsOf(pid).others).to.equal(0);
    expect(await waitingProcesses()).to.deep.equal([]);
  });

  it('for the writer, in a small memory cgroup', async () => {
    const { device } = await serveDevice('lio_large_iser_url');
    group = await MemoryGroup.make('iserd-writer');
    group.limit(48 * mebibyte);
    makeScarce();
    await inTime([...group.wrapper, ...dirty(device)]);
    giveMemoryBack();
    await expectData(device);
    expect(group.events.max).to.be.at.least(1);
    expect(group.events.killed).to.equal(0);
    expect(await waitingProcesses()).to.deep.equal([]);
  });

  it('for writer and daemon in one small memory cgroup, with a file system in between', async () => {
    group = await MemoryGroup.make('iserd-both');
    const { device, pid } = await serveDevice('lio_large_tcp_url', group.wrapper);
    await make(fileSystems[0], device);
    // The daemon has what it has, and writer and page cache share the rest.
    group.limit(group.currentBytes + 80 * mebibyte);
    makeScarce();
    const file = join(directory, 'mnt', 'file');
    const small = group;
    await mounted(device, join(directory, 'mnt'), () => inTime([...small.wrapper, ...dirty(file)]));
    giveMemoryBack();
    await mounted(device, join(directory, 'mnt'), () => expectData(file));
    expect(small.events.max).to.be.at.least(1);
    expect(small.events.killed).to.equal(0);
    expect(threadsOf(pid).others).to.equal(0);
    expect(await waitingProcesses()).to.deep.equal([]);
  });
});

async function showLog(this: Mocha.Context): Promise<void> {
  if (this.currentTest?.state !== 'failed') return;
  console.log(await runOk('sh', ['-c', 'dmesg | tail -n 120']));
  console.log(this.currentTest.err?.message.replaceAll(/^/gm, '    ! '));
  console.log(daemon?.log.replaceAll(/^/gm, '    | '));
}
