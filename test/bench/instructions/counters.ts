/**
 * CPU time as the guest's kernel accounts for it. Where the guest's clock counts instructions (test/vm/run.sh -i), a nanosecond of
 * it is one instruction.
 */

/** At one moment. */
export interface Counters {
  /** The clock. */
  readonly now: number;
  /** Of the only CPU, since it was started. */
  readonly idle: number;
  /** Of the process that makes the requests, its system calls included. */
  readonly client: number;
  /** Of all threads of the processes that serve them. */
  readonly daemon: number;
}

/** Instructions per request. */
export interface Costs {
  readonly daemon: number;
  readonly client: number;
  /** Everything that was not idle: both of these, the target, the kernel's own threads and interrupts. */
  readonly machine: number;
}

/**
 * A shell command that prints the counters: fio's to run right before its first request and right after its last one, so that
 * neither its start nor its end is counted. The process that makes the requests is the shell's parent.
 */
export function countersCommand(daemonPids: readonly number[]): string {
  const threads = daemonPids.map((pid) => `/proc/${pid}/task/*/schedstat`);
  return ['cat /proc/timer_list /proc/$PPID/schedstat', ...threads].join(' ');
}

/** @throws Error when something is missing, or there is more than one CPU */
export function parseCounters(text: string): Counters {
  // Time on the CPU, time waited for it, how often (Documentation/scheduler/sched-stats.rst).
  const times = [...text.matchAll(/^(\d+) \d+ \d+$/gm)].map(([, time]) => Number(time));
  if (times.length < 2) throw new Error('no times of client and daemon among the counters');
  const [client, ...threads] = times;
  return {
    now: only(text, /^now at (\d+) nsecs$/gm),
    idle:
      only(text, /^ +\.idle_sleeptime *: (\d+) nsecs$/gm) +
      only(text, /^ +\.iowait_sleeptime *: (\d+) nsecs$/gm),
    client,
    daemon: threads.reduce((sum, time) => sum + time, 0),
  };
}

function only(text: string, pattern: RegExp): number {
  const found = [...text.matchAll(pattern)];
  if (found.length !== 1) throw new Error(`${found.length} times in the counters: ${pattern}`);
  return Number(found[0][1]);
}

export function costsBetween(before: Counters, after: Counters, requests: number): Costs {
  const busy = after.now - before.now - (after.idle - before.idle);
  return {
    daemon: (after.daemon - before.daemon) / requests,
    client: (after.client - before.client) / requests,
    machine: busy / requests,
  };
}
