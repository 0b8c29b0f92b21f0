/** Figures as people read them: three digits, units of the usual size. */
import type { Metric } from './grid.ts';
import type { Spread } from './summary.ts';

export interface MetricScale {
  readonly title: string;
  readonly unit: string;
  /** Divisor from what is stored to the unit. */
  readonly divisor: number;
  readonly betterIs: 'higher' | 'lower';
}

export const metricScales: Readonly<Record<Metric, MetricScale>> = {
  iops: { title: 'IOPS', unit: '1/s', divisor: 1, betterIs: 'higher' },
  bytesPerSecond: { title: 'bandwidth', unit: 'MiB/s', divisor: 2 ** 20, betterIs: 'higher' },
  meanLatencyMicroseconds: { title: 'mean latency', unit: 'µs', divisor: 1, betterIs: 'lower' },
};

/** At least three digits that mean something: 1234, 56.7, 0.0891. */
export function figure(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** "1234 (1200–1300)" */
export function spreadText({ median, minimum, maximum }: Spread, divisor = 1): string {
  return `${figure(median / divisor)} (${figure(minimum / divisor)}–${figure(maximum / divisor)})`;
}
