/** What Linux says about a process and its memory. */
import { readdirSync, readFileSync } from 'node:fs';

/** include/linux/sched.h: what PR_SET_IO_FLUSHER sets on a thread, PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE. */
const ioFlusherFlags = 0x00080000 | 0x00100000;

export interface Threads {
  readonly flushers: number;
  readonly others: number;
}

/** How many of the process's threads are I/O flushers (proc(5): /proc/PID/task/TID/stat, field 9). */
export function threadsOf(pid: number): Threads {
  const flags = readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    // The name of the program, in brackets, may have blanks.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[6]);
  });
  const flushers = flags.filter((value) => (value & ioFlusherFlags) === ioFlusherFlags).length;
  return { flushers, others: flags.length - flushers };
}

/** A figure of /proc/PID/status, such as VmRSS, in bytes. */
export function statusBytes(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kibibytes = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1];
  if (kibibytes === undefined) throw new Error(`no ${name} in /proc/${pid}/status`);
  return Number(kibibytes) * 1024;
}

/** Bounding, effective, … capabilities of a process: "CapEff" and so on (capabilities(7)). */
export function capabilities(pid: number, set: string): bigint {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return BigInt(`0x${new RegExp(`^${set}:\\s+([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? ''}`);
}

/** What could be had without swapping: proc(5), MemAvailable. */
export function availableMemory(): number {
  const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return Number(kibibytes) * 1024;
}
