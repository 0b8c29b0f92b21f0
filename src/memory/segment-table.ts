import { assert } from '../errors.ts';

/** What a segment is used for: a size class (0 and up) or one of these. */
export const SegmentUse = { free: -1, runHead: -2, runTail: -3 } as const;
export const noSegment = -1;

/**
 * The segments of a slab pool: which are free, which belong to a size class, which to a run. Segments of a class that have
 * room form a doubly linked list per class. The lowest free segment is always taken first, so that the memory ever touched
 * (and pinned) stays as small as the peak of use.
 */
export class SegmentTable {
  readonly count: number;
  /** SegmentUse, or the size class. */
  readonly use: Int8Array;
  /** Segments in the run that starts here. */
  readonly runLength: Uint32Array;
  /** Since the last `trim`, something was allocated here. */
  readonly #touched: Uint8Array;
  readonly #previous: Int32Array;
  readonly #next: Int32Array;
  readonly #roomy: Int32Array;
  /** No free segment lies below. */
  #lowestFree = 0;
  #freeCount: number;
  /** Segments from here on are for runs only. */
  readonly #classEnd: number;

  /** @param forRuns so many of the highest segments no size class ever gets */
  constructor(count: number, classes: number, forRuns = 0) {
    this.count = count;
    this.#classEnd = count - forRuns;
    this.use = new Int8Array(count).fill(SegmentUse.free);
    this.runLength = new Uint32Array(count);
    this.#touched = new Uint8Array(count);
    this.#previous = new Int32Array(count);
    this.#next = new Int32Array(count);
    this.#roomy = new Int32Array(classes).fill(noSegment);
    this.#freeCount = count;
  }

  get freeCount(): number {
    return this.#freeCount;
  }

  /** A segment of the class with room for one more buffer: the one that was full last. */
  roomy(sizeClass: number): number {
    return this.#roomy[sizeClass];
  }

  /** Takes the lowest free segment for a class; it has room from now on. */
  takeForClass(sizeClass: number): number {
    const segment = this.#findRun(1, this.#classEnd);
    if (segment === noSegment) return noSegment;
    this.#take(segment, sizeClass);
    this.link(segment, sizeClass);
    return segment;
  }

  /** Takes the lowest `length` contiguous free segments. */
  takeRun(length: number): number {
    const first = this.#findRun(length, this.count);
    if (first === noSegment) return noSegment;
    this.#take(first, SegmentUse.runHead);
    this.runLength[first] = length;
    for (let i = 1; i < length; i++) this.#take(first + i, SegmentUse.runTail);
    return first;
  }

  /** Back to the common pool. */
  free(segment: number): void {
    this.use[segment] = SegmentUse.free;
    this.#freeCount += 1;
    if (segment < this.#lowestFree) this.#lowestFree = segment;
  }

  /** The segment has room again: first in its class's list. */
  link(segment: number, sizeClass: number): void {
    const head = this.#roomy[sizeClass];
    this.#previous[segment] = noSegment;
    this.#next[segment] = head;
    if (head !== noSegment) this.#previous[head] = segment;
    this.#roomy[sizeClass] = segment;
  }

  /** The segment is full, or about to be freed. */
  unlink(segment: number, sizeClass: number): void {
    const previous = this.#previous[segment];
    const next = this.#next[segment];
    if (next !== noSegment) this.#previous[next] = previous;
    if (previous !== noSegment) this.#next[previous] = next;
    else this.#roomy[sizeClass] = next;
  }

  /** Segments that were in use since the last trim. */
  get touchedCount(): number {
    let touched = 0;
    for (const flag of this.#touched) touched += flag;
    return touched;
  }

  /** Calls `visit` for every maximal range of touched free segments, and forgets that they were touched. */
  trim(visit: (first: number, length: number) => void): void {
    let segment = 0;
    while (segment < this.count) {
      const first = segment;
      while (segment < this.count && this.#idle(segment)) this.#touched[segment++] = 0;
      if (segment > first) visit(first, segment - first);
      else segment += 1;
    }
  }

  #idle(segment: number): boolean {
    return this.use[segment] === SegmentUse.free && this.#touched[segment] === 1;
  }

  #take(segment: number, use: number): void {
    assert(this.use[segment] === SegmentUse.free, 'segment taken twice');
    this.use[segment] = use;
    this.#touched[segment] = 1;
    this.#freeCount -= 1;
  }

  #findRun(length: number, end: number): number {
    if (this.#freeCount < length) return noSegment;
    while (this.use[this.#lowestFree] !== SegmentUse.free) this.#lowestFree += 1;
    let found = 0;
    for (let segment = this.#lowestFree; segment < end; segment++) {
      found = this.use[segment] === SegmentUse.free ? found + 1 : 0;
      if (found === length) return segment - length + 1;
    }
    return noSegment;
  }
}
