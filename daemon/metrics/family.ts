/** A metric family as Prometheus knows it: a name, what it means, and its samples, taken from a snapshot. */
import type { Histogram } from '../../src/histogram.ts';
import type { DaemonSnapshot } from './snapshot.ts';

export type Labels = Readonly<Record<string, string | number>>;
export type Sample = readonly [labels: Labels, value: number];

export interface Family {
  readonly name: string;
  readonly type: 'counter' | 'gauge';
  readonly help: string;
  readonly samples: (snapshot: DaemonSnapshot) => readonly Sample[];
}

export interface HistogramFamily {
  readonly name: string;
  readonly type: 'histogram';
  readonly help: string;
  readonly histograms: (
    snapshot: DaemonSnapshot,
  ) => readonly (readonly [labels: Labels, histogram: Histogram])[];
}

/** Upper ends of buckets in microseconds: powers of two, which are ends of our own buckets, too. 32 us to 34 s. */
export const bucketBoundaries: readonly number[] = Array.from(
  { length: 21 },
  (_, index) => 2 ** (5 + index),
);
