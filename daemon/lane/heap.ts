/**
 * The heap of a lane: nothing is to be collected, and no page to be asked of the kernel, while requests wait.
 *
 * - The young generation is as large from the start as V8 lets it become, or with many lanes a share of what two of them would have. A
 *   data path that allocates next to nothing never makes it grow, and one of 1 MiB is collected sixteen times as often.
 * - The memory reducer would collect the whole heap some seconds after every collection, to give back a few MiB.
 * - A page of it that is first written when memory has run out would have to wait until the kernel has cleaned pages, perhaps by us.
 */
const mebibyte = 2 ** 20;
const largest = 16 * mebibyte;
const ofAllLanes = 2 * largest;
const pieceBytes = 8192;

/** One half of the young generation, when there are so many lanes; bytes. */
export function semiSpaceBytes(lanes: number): number {
  const share = Math.floor(ofAllLanes / lanes / mebibyte) * mebibyte;
  return Math.min(largest, Math.max(mebibyte, share));
}

/** Options of V8. They are of the process, and read when the heap of a thread is made. */
export function laneHeapOptions(lanes: number): readonly string[] {
  return [`--min-semi-space-size=${semiSpaceBytes(lanes) / mebibyte}`, '--no-memory-reducer'];
}

/** Writes all of the young generation once, both of its halves; called by the thread whose heap it is. */
export function touchYoungGeneration(lanes: number): void {
  const pieces = (2 * semiSpaceBytes(lanes)) / pieceBytes;
  // What is stored somewhere is not left out by the compiler.
  const sink: { last: readonly number[] } = { last: [] };
  for (let piece = 0; piece < pieces; piece++) sink.last = fresh(piece);
}

function fresh(value: number): number[] {
  return new Array<number>(pieceBytes / 8).fill(value);
}
