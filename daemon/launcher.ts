/**
 * What keeps memory reclaim from waiting for itself. A process that serves a block device of its own machine may be asked to write
 * dirty pages just when there is no memory: if one of its threads then allocates and the kernel lets that allocation wait for those very
 * pages, nothing moves any more. So, when a kernel device is served:
 *
 * - PR_SET_IO_FLUSHER (Linux 5.6): allocations of the thread do not wait for I/O, and it is not throttled as a writer of dirty pages. The
 *   flag belongs to a thread and is inherited, and V8 has started its helpers before our first line runs: set it, then execve(2) ourselves;
 * - program, libraries and request buffers stay in memory (mlock2(2), MLOCK_ONFAULT): to go on needs no disk. V8's heap cannot be locked, V8
 *   ends the process when it cannot give single pages back; it is kept from swap by the service (MemorySwapMax=0), and must be when
 *   the device itself is swapped on;
 * - the OOM killer looks elsewhere: the death of who must clean the pages frees none of them.
 *
 * A daemon that serves sockets only needs nothing of this: its clients' page cache belongs to another machine or guest.
 */
import { readFileSync } from 'node:fs';
import type { NativeError } from '../src/reactor/native.ts';
import { passedByExecve } from './restart/inheritance.ts';
import { system, type System } from './system.ts';

export type LauncherCalls = Pick<
  System,
  'setIoFlusher' | 'execute' | 'listenFds' | 'lockMemory' | 'memlockLimit' | 'setOomScoreAdjust'
>;

export interface LauncherSurroundings {
  readonly calls: LauncherCalls;
  readonly environment: NodeJS.ProcessEnv;
  readonly pid: number;
  /** The whole command line from the interpreter on, as execve(2) gets it. */
  readonly program: string;
  readonly argv: readonly string[];
  /** /proc/self/NAME. */
  readonly readProc: (name: string) => string;
}

/** Which process has been re-executed by its launcher. It stays set, for a successor by execve(2), whose threads inherit the flag, too. */
const launchedVariable = 'ISERD_IO_FLUSHER';
/** The strongest: never. What the daemon may use is bounded by its configuration. */
const oomScoreAdjust = -1000;
/** capabilities(7). */
const capIpcLock = 14;

export function realLauncherSurroundings(): LauncherSurroundings {
  return {
    calls: system,
    environment: process.env,
    pid: process.pid,
    program: process.execPath,
    argv: [process.argv0, ...process.execArgv, ...process.argv.slice(1)],
    readProc: (name) => readFileSync(`/proc/self/${name}`, 'utf8'),
  };
}

/**
 * Whether a command line may lead to a kernel device. A configuration file counts as one: it is read by the re-executed process only,
 * which costs less than to read it twice.
 */
export function mayServeDevice(argv: readonly string[]): boolean {
  return argv.some((argument) => /^--(device|config)(=|$)/.test(argument));
}

/**
 * The first thing that the daemon does. Does not return when it re-executes the process: same pid, command line, environment,
 * standard descriptors and passed sockets. Returns '' when every thread has the flag, or why not.
 */
export function becomeIoFlusher(surroundings = realLauncherSurroundings()): string {
  const { calls, environment, pid, program, argv } = surroundings;
  if (environment[launchedVariable] === String(pid)) return '';
  try {
    calls.setIoFlusher();
    environment[launchedVariable] = String(pid);
    return calls.execute(program, argv, passedFds(surroundings));
  } catch (error) {
    Reflect.deleteProperty(environment, launchedVariable);
    const { code } = error as NativeError;
    return code === 'EPERM' ? 'CAP_SYS_RESOURCE is missing' : (error as Error).message;
  }
}

/** By the service manager, and by the daemon that this one succeeds. */
function passedFds({ calls, environment }: LauncherSurroundings): number[] {
  return [...calls.listenFds().map(({ fd }) => fd), ...passedByExecve(environment).values()];
}

/**
 * Locks memory and lowers the OOM score. The addon is loaded by then, so it counts, too. Returns what could not be done, as lines for
 * the log; none of it keeps the daemon from serving.
 */
export function holdMemory(surroundings = realLauncherSurroundings()): string[] {
  const { calls } = surroundings;
  const warnings: string[] = [];
  const attempt = (what: string, cure: string, action: () => void): void => {
    try {
      action();
    } catch (error) {
      const { code, message } = error as NativeError;
      const reason = code === 'EACCES' || code === 'EPERM' ? cure : message;
      warnings.push(`${what}: ${reason}`);
    }
  };
  attempt('the OOM score stays as it is', 'CAP_SYS_RESOURCE is missing', () => {
    if (Number(surroundings.readProc('oom_score_adj')) > oomScoreAdjust)
      calls.setOomScoreAdjust(oomScoreAdjust);
  });
  if (mayLockMemory(surroundings)) {
    attempt('memory is not locked', 'CAP_IPC_LOCK is missing', calls.lockMemory);
  } else {
    warnings.push('memory is not locked: neither CAP_IPC_LOCK nor an unlimited RLIMIT_MEMLOCK');
  }
  return warnings;
}

/** Under a limit of some MiB only a part could be locked: all or nothing is easier to reason about. */
function mayLockMemory({ calls, readProc }: LauncherSurroundings): boolean {
  if (calls.memlockLimit().soft === Infinity) return true;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readProc('status'))?.[1] ?? '0';
  return (BigInt(`0x${effective}`) & (1n << BigInt(capIpcLock))) !== 0n;
}
