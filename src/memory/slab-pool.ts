import { assert } from '../errors.ts';
import { noBuffer } from './buffer-pool.ts';
import type { BufferPool, BufferPoolStatistics, BufferWaiter } from './buffer-pool.ts';
import { noSegment, SegmentTable, SegmentUse } from './segment-table.ts';

/** Smallest size class; every buffer starts at a multiple of it, hence of 64. */
const unitShift = 9;
const unitBytes = 1 << unitShift;
const defaultSegmentBytes = 2 * 1024 * 1024;
const defaultMaximumLength = 64 * 1024 * 1024;
/** Rounds of waking within one flush, when waiters themselves release memory. */
const maximumFlushRounds = 8;
const noUnit = -1;
/** What released memory is filled with when the pool is told to poison. */
const poisonByte = 0xdb;

export interface SlabPoolOptions {
  /** Arena range that the pool hands out; the offset is a multiple of 512, a tail shorter than a segment stays unused. */
  readonly offset?: number;
  readonly sizeBytes: number;
  /** A power of two, at least 1024; default 2 MiB, the size of a huge page. */
  readonly segmentBytes?: number;
  /** Ceiling on one buffer; default 64 MiB, and never more than the pool. */
  readonly maximumLength?: number;
  /**
   * So many bytes at the end of the pool are for buffers of whole segments only: small ones that live long cannot break them up, so that
   * the largest buffer can be had whenever the large ones that there are have gone. Bounds one buffer, too. Default 0.
   */
  readonly largeBytes?: number;
  /** Runs `flush` in a later turn. Default: a microtask. The owner may also call `flushWaiters` at the end of each batch. */
  readonly schedule?: (flush: () => void) => void;
  /** The arena's bytes: released buffers are overwritten, so that tests notice use after release. */
  readonly poison?: Uint8Array;
}

/**
 * Buffers out of an arena. Lengths up to half a segment come from size classes (powers of two from 512 bytes) inside
 * segments; larger ones are runs of whole contiguous segments. A segment without live buffers returns to the common pool.
 * When neither its class nor the common pool has room, a small request is served from a larger class, or gets a whole segment.
 */
export class SlabPool implements BufferPool {
  readonly maximumLength: number;
  readonly statistics: BufferPoolStatistics;
  readonly #offset: number;
  readonly #segmentShift: number;
  readonly #classCount: number;
  readonly #segments: SegmentTable;
  /** By unit: references of the buffer that starts here. */
  readonly #references: Uint32Array;
  /** By unit: next free buffer of the same segment. */
  readonly #nextFree: Int32Array;
  /** By segment: first free buffer (unit), buffers ever carved since it was taken, buffers in use. */
  readonly #freeHead: Int32Array;
  readonly #carved: Uint32Array;
  readonly #live: Uint32Array;
  readonly #poison: Uint8Array | undefined;
  readonly #schedule: (flush: () => void) => void;
  readonly #flush: () => void;
  #waiters: BufferWaiter[] = [];
  #beingTold: BufferWaiter[] = [];
  #flushPending = false;
  #flushing = false;

  constructor(options: SlabPoolOptions) {
    const segmentBytes = options.segmentBytes ?? defaultSegmentBytes;
    this.#offset = options.offset ?? 0;
    this.#segmentShift = 31 - Math.clz32(segmentBytes);
    assert(segmentBytes === 1 << this.#segmentShift, 'segment size is a power of two');
    assert(segmentBytes >= 2 * unitBytes, 'segment holds two buffers');
    assert(this.#offset % unitBytes === 0, 'pool offset is a multiple of 512');
    const count = Math.floor(options.sizeBytes / segmentBytes);
    assert(count > 0, 'the pool has at least one segment');
    this.#classCount = this.#segmentShift - unitShift;
    const forRuns = Math.floor((options.largeBytes ?? 0) / segmentBytes);
    assert(forRuns < count, 'some of the pool is for small buffers');
    this.#segments = new SegmentTable(count, this.#classCount, forRuns);
    const units = count << (this.#segmentShift - unitShift);
    this.#references = new Uint32Array(units);
    this.#nextFree = new Int32Array(units);
    this.#freeHead = new Int32Array(count);
    this.#carved = new Uint32Array(count);
    this.#live = new Uint32Array(count);
    this.#poison = options.poison;
    this.#schedule = options.schedule ?? queueMicrotask;
    this.#flush = () => {
      this.flushWaiters();
    };
    const totalBytes = count * segmentBytes;
    const largest = forRuns === 0 ? totalBytes : forRuns * segmentBytes;
    this.maximumLength = Math.min(options.maximumLength ?? defaultMaximumLength, largest);
    this.statistics = { totalBytes, usedBytes: 0, peakUsedBytes: 0, failures: 0 };
  }

  allocate(length: number): number {
    assert(length > 0 && length <= this.maximumLength, 'buffer length within limits');
    const unit =
      length <= 1 << (this.#segmentShift - 1)
        ? this.#allocateSmall(length)
        : this.#allocateRun(length);
    if (unit === noUnit) {
      this.statistics.failures += 1;
      return noBuffer;
    }
    this.#references[unit] = 1;
    const statistics = this.statistics;
    statistics.usedBytes += this.#unitLength(unit);
    if (statistics.usedBytes > statistics.peakUsedBytes) {
      statistics.peakUsedBytes = statistics.usedBytes;
    }
    return this.#offset + unit * unitBytes;
  }

  retain(buffer: number): void {
    this.#references[this.#unitOf(buffer)] += 1;
  }

  release(buffer: number): void {
    const unit = this.#unitOf(buffer);
    if (--this.#references[unit] > 0) return;
    const length = this.#unitLength(unit);
    this.statistics.usedBytes -= length;
    this.#poison?.fill(poisonByte, buffer, buffer + length);
    const segment = this.#segmentOf(unit);
    if (this.#segments.use[segment] === SegmentUse.runHead) this.#freeRun(segment);
    else this.#freeSmall(unit, segment);
    if (this.#waiters.length > 0 && !this.#flushPending) {
      this.#flushPending = true;
      if (!this.#flushing) this.#schedule(this.#flush);
    }
  }

  lengthOf(buffer: number): number {
    return this.#unitLength(this.#unitOf(buffer));
  }

  addWaiter(waiter: BufferWaiter): void {
    if (!this.#waiters.includes(waiter)) this.#waiters.push(waiter);
  }

  /** Tells those who wait, if anything was released since the last time. Calls from within a waiter do nothing. */
  flushWaiters(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    try {
      for (let round = 0; round < maximumFlushRounds && this.#flushPending; round++) {
        this.#tellWaiters();
      }
    } finally {
      this.#flushing = false;
      if (this.#flushPending) this.#schedule(this.#flush);
    }
  }

  /** Bytes of segments that were used since the last trim: at most so much of the pool is backed by memory. */
  get touchedBytes(): number {
    return this.#segmentBytes(this.#segments.touchedCount);
  }

  /**
   * Names every unused range that was touched, once: for whoever unregisters it and gives its pages back. Whole segments only;
   * the memory must be unregistered first, because a device would go on using the old pages.
   */
  trim(discard: (offset: number, length: number) => void): void {
    this.#segments.trim((first, count) => {
      discard(this.#offset + this.#segmentBytes(first), this.#segmentBytes(count));
    });
  }

  #tellWaiters(): void {
    this.#flushPending = false;
    const told = this.#waiters;
    this.#waiters = this.#beingTold;
    this.#beingTold = told;
    for (const waiter of told) waiter.onBuffersAvailable();
    told.length = 0;
  }

  #allocateSmall(length: number): number {
    const wanted = length <= unitBytes ? 0 : 32 - unitShift - Math.clz32(length - 1);
    let segment = this.#segments.roomy(wanted);
    if (segment === noSegment) segment = this.#openSegment(wanted);
    for (let larger = wanted + 1; segment === noSegment && larger < this.#classCount; larger++) {
      segment = this.#segments.roomy(larger);
    }
    if (segment !== noSegment) return this.#takeFrom(segment);
    // Wasteful, but a payload must not wait for what never becomes free; smaller buffers may live as long as a connection.
    return length > this.#segmentBytes(1) / 32 ? this.#allocateRun(length) : noUnit;
  }

  #openSegment(sizeClass: number): number {
    const segment = this.#segments.takeForClass(sizeClass);
    if (segment === noSegment) return noSegment;
    this.#freeHead[segment] = noUnit;
    this.#carved[segment] = 0;
    this.#live[segment] = 0;
    return segment;
  }

  /** The buffer freed last, or the first that was never used. */
  #takeFrom(segment: number): number {
    const sizeClass = this.#segments.use[segment];
    let unit = this.#freeHead[segment];
    if (unit === noUnit) {
      const firstUnit = segment << (this.#segmentShift - unitShift);
      unit = firstUnit + (this.#carved[segment]++ << sizeClass);
    } else {
      this.#freeHead[segment] = this.#nextFree[unit];
    }
    if (++this.#live[segment] === this.#capacity(sizeClass)) {
      this.#segments.unlink(segment, sizeClass);
    }
    return unit;
  }

  #freeSmall(unit: number, segment: number): void {
    const sizeClass = this.#segments.use[segment];
    if (this.#live[segment] === this.#capacity(sizeClass)) this.#segments.link(segment, sizeClass);
    this.#nextFree[unit] = this.#freeHead[segment];
    this.#freeHead[segment] = unit;
    if (--this.#live[segment] === 0) {
      this.#segments.unlink(segment, sizeClass);
      this.#segments.free(segment);
    }
  }

  #allocateRun(length: number): number {
    const count = Math.ceil(length / this.#segmentBytes(1));
    const first = this.#segments.takeRun(count);
    return first === noSegment ? noUnit : first << (this.#segmentShift - unitShift);
  }

  #freeRun(first: number): void {
    const count = this.#segments.runLength[first];
    for (let i = 0; i < count; i++) this.#segments.free(first + i);
  }

  #capacity(sizeClass: number): number {
    return 1 << (this.#classCount - sizeClass);
  }

  #segmentBytes(count: number): number {
    return count * (1 << this.#segmentShift);
  }

  #segmentOf(unit: number): number {
    return unit >>> (this.#segmentShift - unitShift);
  }

  #unitLength(unit: number): number {
    const segment = this.#segmentOf(unit);
    const use = this.#segments.use[segment];
    return use === SegmentUse.runHead
      ? this.#segmentBytes(this.#segments.runLength[segment])
      : unitBytes << use;
  }

  /** Only what `allocate` returned and nobody has freed has references. */
  #unitOf(buffer: number): number {
    const unit = (buffer - this.#offset) / unitBytes;
    assert(this.#references[unit] > 0, 'no such buffer, or freed already');
    return unit;
  }
}
