/**
 * Durations by size: log-linear buckets, as HDR histograms have them. Values are whole microseconds of 32 bits (up to 71 minutes); each power
 * of two is divided into 32 buckets, so that a bucket is at most 1/32 (3.2 %) as wide as its values are large, and below 64 µs
 * exactly one microsecond.
 */

/** log2 of the buckets per power of two. */
const resolutionBits = 5;
const resolution = 1 << resolutionBits;
const largestValue = 0xffff_ffff;

export const bucketCount = (32 - resolutionBits + 1) * resolution;

/** Bucket of a whole number of microseconds; the same formula for small and large ones. */
export function bucketOf(microseconds: number): number {
  const shift = Math.max(0, 31 - resolutionBits - Math.clz32(microseconds));
  return (shift << resolutionBits) + (microseconds >>> shift);
}

/** Smallest value of a bucket, in microseconds. */
export function bucketStart(bucket: number): number {
  const shift = Math.max(0, (bucket >>> resolutionBits) - 1);
  return (bucket - (shift << resolutionBits)) * 2 ** shift;
}

/** Largest value of a bucket, in microseconds. */
export function bucketEnd(bucket: number): number {
  return bucketStart(bucket + 1) - 1;
}

/** A histogram as data: what is not zero. It can be sent to other threads and as JSON. */
export interface HistogramSnapshot {
  /** Indices of buckets, ascending. */
  readonly buckets: readonly number[];
  /** How many values each of them has. */
  readonly counts: readonly number[];
  readonly sumMicroseconds: number;
  readonly maximumMicroseconds: number;
}

export const emptySnapshot: HistogramSnapshot = {
  buckets: [],
  counts: [],
  sumMicroseconds: 0,
  maximumMicroseconds: 0,
};

/** Counts durations. `record` allocates nothing; everything else is for those who look at it now and then. */
export class Histogram {
  readonly #counts = new Float64Array(bucketCount);
  /** Sum and maximum. */
  readonly #totals = new Float64Array(2);

  static of(snapshot: HistogramSnapshot): Histogram {
    const histogram = new Histogram();
    histogram.add(snapshot);
    return histogram;
  }

  /** Counts one duration of `endMs[0] - startMs[index]` milliseconds. In arrays, because numbers with a fraction are allocated when passed on. */
  record(startMs: Float64Array, index: number, endMs: Float64Array): void {
    const microseconds = (endMs[0] - startMs[index]) * 1000;
    // The clock may have a resolution, but never goes back.
    const value = microseconds < largestValue ? microseconds >>> 0 : largestValue;
    this.#counts[bucketOf(value)]++;
    this.#totals[0] += value;
    if (value > this.#totals[1]) this.#totals[1] = value;
  }

  get count(): number {
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  /** Microseconds. */
  get sum(): number {
    return this.#totals[0];
  }

  /** Microseconds; 0 without values. */
  get maximum(): number {
    return this.#totals[1];
  }

  /** Microseconds; 0 without values. */
  get mean(): number {
    return this.sum / Math.max(1, this.count);
  }

  /** How many values are at most so many microseconds; exact at the ends of buckets, otherwise those of the buckets that end before. */
  countUpTo(microseconds: number): number {
    let count = 0;
    for (let bucket = 0; bucket < bucketCount && bucketEnd(bucket) <= microseconds; bucket++)
      count += this.#counts[bucket];
    return count;
  }

  /**
   * The duration that the part `fraction` of all values does not exceed: the end of its bucket, so at most 1/32 more than
   * the truth and never less. 0 without values.
   */
  quantile(fraction: number): number {
    const rank = Math.max(1, Math.ceil(fraction * this.count));
    let seen = 0;
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      seen += this.#counts[bucket];
      if (seen >= rank) return Math.min(bucketEnd(bucket), this.maximum);
    }
    return 0;
  }

  add({ buckets, counts, sumMicroseconds, maximumMicroseconds }: HistogramSnapshot): void {
    buckets.forEach((bucket, index) => (this.#counts[bucket] += counts[index]));
    this.#totals[0] += sumMicroseconds;
    this.#totals[1] = Math.max(this.maximum, maximumMicroseconds);
  }

  /**
   * Takes away what was there earlier: what remains happened since. Its maximum is known as closely as its bucket tells.
   */
  subtract({ buckets, counts, sumMicroseconds, maximumMicroseconds }: HistogramSnapshot): void {
    buckets.forEach((bucket, index) => (this.#counts[bucket] -= counts[index]));
    this.#totals[0] -= sumMicroseconds;
    const last = this.#counts.findLastIndex((count) => count > 0);
    if (last < 0) this.#totals[1] = 0;
    else if (maximumMicroseconds === this.maximum)
      this.#totals[1] = Math.min(bucketEnd(last), this.maximum);
  }

  /** What is not zero, with the ends of buckets: both belong to them. */
  ranges(): { fromMicroseconds: number; toMicroseconds: number; count: number }[] {
    const { buckets, counts } = this.snapshot();
    return buckets.map((bucket, index) => ({
      fromMicroseconds: bucketStart(bucket),
      toMicroseconds: bucketEnd(bucket),
      count: counts[index],
    }));
  }

  snapshot(): HistogramSnapshot {
    const buckets: number[] = [];
    const counts: number[] = [];
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      if (this.#counts[bucket] === 0) continue;
      buckets.push(bucket);
      counts.push(this.#counts[bucket]);
    }
    return {
      buckets,
      counts,
      sumMicroseconds: this.sum,
      maximumMicroseconds: this.maximum,
    };
  }
}
