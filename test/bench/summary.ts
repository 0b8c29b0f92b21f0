/** Of the rounds of every server and cell: the median of each figure, and how far the rounds lie apart. */
import { cellName, type Cell } from './grid.ts';
import type { Sample } from './results.ts';

export interface Spread {
  readonly median: number;
  readonly minimum: number;
  readonly maximum: number;
}

export interface Summary {
  readonly server: string;
  readonly cell: Cell;
  readonly rounds: number;
  readonly iops: Spread;
  readonly bytesPerSecond: Spread;
  readonly meanLatencyMicroseconds: Spread;
  readonly p99LatencyMicroseconds: Spread;
  readonly p999LatencyMicroseconds: Spread;
  readonly cpuMicrosecondsPerRequest?: Spread;
}

/** Of an even number of values the median is the mean of the two in the middle. */
export function spread(values: readonly number[]): Spread {
  if (values.length === 0) throw new RangeError('no values');
  const sorted = [...values].sort((a, b) => a - b);
  const last = sorted.length - 1;
  return {
    median: (sorted[Math.floor(last / 2)] + sorted[Math.ceil(last / 2)]) / 2,
    minimum: sorted[0],
    maximum: sorted[last],
  };
}

/** In the order of the first samples. */
export function summarize(samples: readonly Sample[]): Summary[] {
  const groups = new Map<string, Sample[]>();
  for (const sample of samples) {
    const key = `${sample.server}\n${cellName(sample.cell)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [sample]);
    else group.push(sample);
  }
  return [...groups.values()].map((group) => {
    const { server, cell } = group[0];
    const cpu = group.flatMap(({ cpuMicrosecondsPerRequest: used }) => used ?? []);
    return {
      server,
      cell,
      rounds: group.length,
      iops: spread(group.map(({ iops }) => iops)),
      bytesPerSecond: spread(group.map(({ bytesPerSecond }) => bytesPerSecond)),
      meanLatencyMicroseconds: spread(
        group.map(({ meanLatencyMicroseconds }) => meanLatencyMicroseconds),
      ),
      p99LatencyMicroseconds: spread(
        group.map(({ p99LatencyMicroseconds }) => p99LatencyMicroseconds),
      ),
      p999LatencyMicroseconds: spread(
        group.map(({ p999LatencyMicroseconds }) => p999LatencyMicroseconds),
      ),
      ...(cpu.length === 0 ? {} : { cpuMicrosecondsPerRequest: spread(cpu) }),
    };
  });
}

export function findSummary(
  summaries: readonly Summary[],
  server: string,
  cell: Cell,
): Summary | undefined {
  const name = cellName(cell);
  return summaries.find((summary) => summary.server === server && cellName(summary.cell) === name);
}
