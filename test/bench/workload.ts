/** What fio does to a disk, as data, and the words for it. */

export type Pattern = 'randread' | 'randwrite' | 'randrw' | 'read' | 'write';

export interface Workload {
  readonly pattern: Pattern;
  /** Bytes of one request. */
  readonly blockSize: number;
  /** Requests in flight per volume. */
  readonly depth: number;
}

/** Of the requests of `randrw`. */
export const mixedReadPercent = 70;

export const patternNames: Readonly<Record<Pattern, string>> = {
  randread: 'random read',
  randwrite: 'random write',
  randrw: `random ${mixedReadPercent}:${100 - mixedReadPercent}`,
  read: 'read',
  write: 'write',
};

/** 512 B, 4 KiB, 1 MiB. */
export function sizeName(bytes: number): string {
  if (bytes < 2 ** 10) return `${bytes} B`;
  return bytes < 2 ** 20 ? `${bytes / 2 ** 10} KiB` : `${bytes / 2 ** 20} MiB`;
}

/** "4 KiB random read QD32" */
export function workloadName({ pattern, blockSize, depth }: Workload): string {
  return `${sizeName(blockSize)} ${patternNames[pattern]} QD${depth}`;
}
