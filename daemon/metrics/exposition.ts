/** Snapshots in the text format of Prometheus, written by prom-client. */
import { Registry, type Metric } from 'prom-client';
import type { Histogram } from '../../src/histogram.ts';
import { bucketBoundaries, type Family, type HistogramFamily, type Labels } from './family.ts';
import { families } from './families.ts';
import type { DaemonSnapshot } from './snapshot.ts';

export const contentType = Registry.PROMETHEUS_CONTENT_TYPE;

interface Value {
  readonly metricName?: string;
  readonly labels: Labels;
  readonly value: number;
}

/** All families with what the snapshot says of them. */
export function exposition(snapshot: DaemonSnapshot): Promise<string> {
  const registry = new Registry();
  for (const family of families) {
    const { name, help, type } = family;
    // prom-client's own metrics count by themselves. A registry asks a metric for no more than this.
    const metric = {
      name,
      get: () => Promise.resolve({ name, help, type, values: valuesOf(family, snapshot) }),
    };
    registry.registerMetric(metric as unknown as Metric);
  }
  return registry.metrics();
}

function valuesOf(family: Family | HistogramFamily, snapshot: DaemonSnapshot): Value[] {
  if (family.type !== 'histogram')
    return family.samples(snapshot).map(([labels, value]) => ({ labels, value }));
  return family
    .histograms(snapshot)
    .flatMap(([labels, histogram]) => histogramValues(family.name, labels, histogram));
}

function histogramValues(name: string, labels: Labels, histogram: Histogram): Value[] {
  const { count, sum } = histogram;
  return [
    ...bucketBoundaries.map((microseconds) => ({
      metricName: `${name}_bucket`,
      labels: { ...labels, le: microseconds / 1e6 },
      // Whole microseconds: shorter than the boundary is at most one less.
      value: histogram.countUpTo(microseconds - 1),
    })),
    { metricName: `${name}_bucket`, labels: { ...labels, le: '+Inf' }, value: count },
    { metricName: `${name}_sum`, labels, value: sum / 1e6 },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
