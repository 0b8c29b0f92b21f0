/** Milliseconds of the system's monotonic clock, the same in all threads (performance.now begins anew in each). */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
