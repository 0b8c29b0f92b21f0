/**
 * A lane's young generation is as large from the start as V8 lets it become. A data path that allocates next to nothing never makes it
 * grow, and one of 1 MiB is collected ten times as often, each time with the requests in flight waiting.
 */
const semiSpaceMebibytes = 16;

/** An option of V8. It is of the process, and read when the heap of a thread is made. */
export const laneHeapOption = `--min-semi-space-size=${semiSpaceMebibytes}`;
