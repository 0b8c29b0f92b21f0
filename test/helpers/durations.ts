import { bucketOf, Histogram } from '../../src/histogram.ts';

/** A histogram of these durations, in microseconds. */
export function histogramOf(durations: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const duration of durations) {
    histogram.add({
      buckets: [bucketOf(duration)],
      counts: [1],
      sumMicroseconds: duration,
      maximumMicroseconds: duration,
    });
  }
  return histogram;
}
