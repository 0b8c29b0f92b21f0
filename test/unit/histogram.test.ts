import { expect } from 'chai';
import fc from 'fast-check';
import {
  bucketCount,
  bucketEnd,
  bucketOf,
  bucketStart,
  Histogram,
  emptySnapshot,
} from '../../src/histogram.ts';

const largest = 2 ** 32 - 1;
/** Whole microseconds, as often small as large. */
const durations = fc.array(
  fc
    .tuple(fc.integer({ min: 0, max: 32 }), fc.double({ min: 0, max: 1, noNaN: true }))
    .map(([bits, fraction]) => Math.min(largest, Math.floor(2 ** bits * (1 + fraction)) - 1)),
  { maxLength: 300 },
);

function filled(microseconds: readonly number[]): Histogram {
  const histogram = new Histogram();
  // A start that is exact in binary, so that the difference is the duration.
  const start = Float64Array.of(0, 0);
  const end = new Float64Array(1);
  for (const duration of microseconds) {
    end[0] = (duration + 0.25) / 1000;
    histogram.record(start, 1, end);
  }
  return histogram;
}

/** The true quantile: the smallest value that so many do not exceed. */
function naive(microseconds: readonly number[], fraction: number): number {
  const sorted = [...microseconds].sort((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(fraction * sorted.length)) - 1];
}

function expectSame(a: Histogram, b: Histogram): void {
  const { buckets, counts } = a.snapshot();
  expect({ buckets, counts }).to.deep.equal({
    buckets: b.snapshot().buckets,
    counts: b.snapshot().counts,
  });
  expect(a.sum).to.equal(b.sum);
}

describe('the latency histogram', () => {
  const property = (
    name: string,
    arbitraries: readonly fc.Arbitrary<number[]>[],
    check: (...lists: number[][]) => void,
  ): void => {
    it(name, () => {
      fc.assert(
        fc.property(fc.tuple(...arbitraries), (lists) => {
          check(...lists);
        }),
      );
    });
  };

  it('has buckets without gaps from 0 to 71 minutes', () => {
    expect(bucketStart(0)).to.equal(0);
    for (let bucket = 0; bucket < bucketCount - 1; bucket++)
      expect(bucketStart(bucket + 1)).to.equal(bucketEnd(bucket) + 1);
    expect(bucketEnd(bucketCount - 1)).to.equal(largest);
  });

  it('has buckets that are at most 1/32 as wide as their values', () => {
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      const width = bucketEnd(bucket) - bucketStart(bucket) + 1;
      if (width > 1) expect(width * 32).to.be.at.most(bucketStart(bucket));
    }
  });

  it('puts each value where the bucket’s ends say', () => {
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      expect(bucketOf(bucketStart(bucket))).to.equal(bucket);
      expect(bucketOf(bucketEnd(bucket))).to.equal(bucket);
    }
  });

  it('counts what is longer than its range as its longest value', () => {
    const histogram = new Histogram();
    histogram.record(Float64Array.of(0), 0, Float64Array.of(1e9));
    expect(histogram.maximum).to.equal(largest);
    expect(histogram.quantile(0.5)).to.equal(largest);
  });

  it('is all zeroes without values', () => {
    const histogram = new Histogram();
    expect(histogram.snapshot()).to.deep.equal(emptySnapshot);
    expect([histogram.quantile(0.99), histogram.mean, histogram.maximum]).to.deep.equal([0, 0, 0]);
  });

  property('knows count, sum and maximum exactly', [durations], (values) => {
    const histogram = filled(values);
    expect(histogram.count).to.equal(values.length);
    expect(histogram.sum).to.equal(values.reduce((sum, value) => sum + value, 0));
    expect(histogram.maximum).to.equal(Math.max(0, ...values));
  });

  property(
    'gives quantiles that are never too small and at most 1/32 too large',
    [durations],
    (values) => {
      if (values.length === 0) return;
      const histogram = filled(values);
      for (const fraction of [0, 0.01, 0.5, 0.9, 0.99, 0.999, 0.9999, 1]) {
        const truth = naive(values, fraction);
        const said = histogram.quantile(fraction);
        expect(said).to.be.within(truth, truth * (1 + 1 / 32));
      }
      expect(histogram.quantile(1)).to.equal(histogram.maximum);
    },
  );

  property('counts what is at most the end of a bucket exactly', [durations], (values) => {
    const histogram = filled(values);
    for (const bucket of [0, 31, 63, 64, 200, 895]) {
      const end = bucketEnd(bucket);
      expect(histogram.countUpTo(end)).to.equal(values.filter((value) => value <= end).length);
    }
  });

  property(
    'merged with another is as if it had seen both',
    [durations, durations],
    (one, other) => {
      const merged = filled(one);
      merged.add(filled(other).snapshot());
      expectSame(merged, filled([...one, ...other]));
      expect(merged.maximum).to.equal(Math.max(0, ...one, ...other));
    },
  );

  property(
    'without what it was earlier is what came since',
    [durations, durations],
    (before, since) => {
      const difference = filled([...before, ...since]);
      difference.subtract(filled(before).snapshot());
      expectSame(difference, filled(since));
      const longest = Math.max(0, ...since);
      expect(difference.maximum).to.be.within(longest, longest * (1 + 1 / 32));
    },
  );

  property('comes back from its snapshot as it was', [durations], (values) => {
    const histogram = filled(values);
    const copy = Histogram.of(JSON.parse(JSON.stringify(histogram.snapshot())) as never);
    expect(copy.snapshot()).to.deep.equal(histogram.snapshot());
  });
});
