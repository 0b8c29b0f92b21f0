import { readFileSync } from 'node:fs';

/** Clock ticks of /proc are hundredths of a second on every architecture that Debian has (USER_HZ). */
const microsecondsPerTick = 10_000;

/** CPU time that a process has used so far, user and system, all threads, in microseconds (proc(5), /proc/PID/stat). */
export function cpuMicroseconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The program's name may hold anything; what follows its closing bracket is field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [utime, stime] = fields.slice(11, 13).map(Number);
  return (utime + stime) * microsecondsPerTick;
}
