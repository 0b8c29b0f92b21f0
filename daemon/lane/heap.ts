/**
 * The heap of a lane: nothing is to be collected while requests wait.
 *
 * - The young generation is as large from the start as V8 lets it become. A data path that allocates next to nothing never makes it
 *   grow, and one of 1 MiB is collected sixteen times as often.
 * - The memory reducer would collect the whole heap some seconds after every collection, to give back a few MiB.
 *
 * Options of V8; they are of the process, and read when the heap of a thread is made.
 */
export const laneHeapOptions = ['--min-semi-space-size=16', '--no-memory-reducer'] as const;
