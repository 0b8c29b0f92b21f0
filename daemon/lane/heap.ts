/**
 * The heap of a lane: nothing is to be collected, and no page to be asked of the kernel, while requests wait.
 *
 * - The young generation is as large from the start as V8 lets it become. A data path that allocates next to nothing never makes it
 *   grow, and one of 1 MiB is collected sixteen times as often.
 * - The memory reducer would collect the whole heap some seconds after every collection, to give back a few MiB.
 * - A page of it that is first written when memory has run out would have to wait until the kernel has cleaned pages, perhaps by us.
 */
const semiSpaceMebibytes = 16;

/** Options of V8. They are of the process, and read when the heap of a thread is made. */
export const laneHeapOptions: readonly string[] = [
  `--min-semi-space-size=${semiSpaceMebibytes}`,
  '--no-memory-reducer',
];

const pieceBytes = 8192;

/** Writes all of the young generation once, both of its halves; called by the thread whose heap it is. */
export function touchYoungGeneration(): void {
  const pieces = (2 * semiSpaceMebibytes * 2 ** 20) / pieceBytes;
  // What is stored somewhere is not left out by the compiler.
  const sink: { last: readonly number[] } = { last: [] };
  for (let piece = 0; piece < pieces; piece++) sink.last = fresh(piece);
}

function fresh(value: number): number[] {
  return new Array<number>(pieceBytes / 8).fill(value);
}
