/** How often a process enters the kernel, by perf's tracepoints, and how often it gives up its CPU to wait, by /proc. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { run, runOk } from '../../helpers/programs.ts';

export interface Crossings {
  /** Voluntary context switches (proc(5), /proc/PID/task/TID/status), all threads. */
  readonly sleeps: number;
  /** By system call. */
  readonly calls: Readonly<Record<string, number>>;
}

const tracing = '/sys/kernel/tracing';
const prefix = 'syscalls:sys_enter_';

/** What servers, targets and fio make per request; whatever else they call is `others`. */
const callNames = [
  ...['read', 'write', 'readv', 'writev', 'pread64', 'pwrite64', 'preadv', 'pwritev', 'pwritev2'],
  ...['recvfrom', 'recvmsg', 'sendto', 'sendmsg', 'epoll_wait', 'epoll_pwait', 'epoll_ctl'],
  ...['poll', 'ppoll', 'futex', 'sched_yield', 'setsockopt', 'munmap', 'mmap', 'brk', 'madvise'],
];

/** Once before counting; needs root. */
export async function mountTracepoints(): Promise<void> {
  if (!existsSync(`${tracing}/events`)) await runOk('mount', ['-t', 'tracefs', 'tracefs', tracing]);
}

/** Of a process and the threads that it has now. */
export async function countCrossings(pid: number, seconds: number): Promise<Crossings> {
  const events = ['raw_syscalls:sys_enter', ...callNames.map((name) => prefix + name)];
  const before = sleepsOf(pid);
  const { stderr } = await run('perf', [
    ...['stat', '-x', ',', '-e', events.join(','), '-p', `${pid}`],
    ...['--', 'sleep', `${seconds}`],
  ]);
  const sleeps = sleepsOf(pid) - before;
  const { all, named } = parseCounts(stderr);
  const others = all - Object.values(named).reduce((sum, count) => sum + count, 0);
  return { sleeps, calls: { ...named, others } };
}

/** Lines of `perf stat -x ,`: count, unit, event, … Throws when an event was not counted. */
export function parseCounts(text: string): { all: number; named: Record<string, number> } {
  const counts = new Map<string, number>();
  for (const line of text.split('\n')) {
    const fields = line.split(',');
    if (fields.length < 3) continue;
    const [count, , event] = fields;
    if (!/^\d+$/.test(count)) throw new Error(`perf has not counted ${event}: ${count}`);
    counts.set(event, Number(count));
  }
  const all = counts.get('raw_syscalls:sys_enter');
  if (all === undefined) throw new Error(`perf has counted nothing:\n${text}`);
  const named = [...counts].filter(([event, count]) => event.startsWith(prefix) && count > 0);
  return {
    all,
    named: Object.fromEntries(named.map(([event, count]) => [event.slice(prefix.length), count])),
  };
}

function sleepsOf(pid: number): number {
  const tasks = readdirSync(`/proc/${pid}/task`);
  return tasks.reduce((sum, task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    return sum + Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }, 0);
}
