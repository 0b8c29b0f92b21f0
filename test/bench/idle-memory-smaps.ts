/** What processes occupy, by the kernel's account of them (proc(5), /proc/PID/smaps_rollup). */
import { readFileSync } from 'node:fs';

export interface ResidentMemory {
  /** Everything in memory; of several processes, what they share as often as there are processes. */
  readonly rssBytes: number;
  /** Of what a process shares with others, its part only: sums are what the machine really has given. */
  readonly pssBytes: number;
}

/** Of several processes together. */
export function residentMemory(pids: readonly number[]): ResidentMemory {
  const each = pids.map((pid) =>
    parseSmapsRollup(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')),
  );
  return {
    rssBytes: each.reduce((sum, { rssBytes }) => sum + rssBytes, 0),
    pssBytes: each.reduce((sum, { pssBytes }) => sum + pssBytes, 0),
  };
}

/** Lines of it: "Rss:               12345 kB", after one with the range of addresses. */
export function parseSmapsRollup(text: string): ResidentMemory {
  const bytesOf = (field: string): number => {
    const kibibytes = new RegExp(`^${field}: +(\\d+) kB$`, 'm').exec(text)?.[1];
    if (kibibytes === undefined) throw new Error(`smaps_rollup has no ${field}:\n${text}`);
    return Number(kibibytes) * 1024;
  };
  return { rssBytes: bytesOf('Rss'), pssBytes: bytesOf('Pss') };
}
