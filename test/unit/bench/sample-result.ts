import type { Cell } from '../../bench/grid.ts';
import type { PlaceResult, Sample } from '../../bench/results.ts';
import { summarize } from '../../bench/summary.ts';

/** IOPS that cannot be mistaken for each other, everything else derived from them. */
export function sample(server: string, cell: Cell, round: number, iops: number): Sample {
  return {
    server,
    cell,
    round,
    iops,
    bytesPerSecond: iops * cell.blockSize,
    meanLatencyMicroseconds: (cell.depth * 1e6) / iops,
    p99LatencyMicroseconds: (cell.depth * 2e6) / iops,
    p999LatencyMicroseconds: (cell.depth * 3e6) / iops,
  };
}

/** Three rounds of two servers over TCP, iserd twice as fast; a third one that could not be started. */
export function sampleResult(cells: readonly Cell[]): PlaceResult {
  const samples = cells.flatMap((cell) =>
    [1, 2, 3].flatMap((round) => [
      sample('iserd TCP', cell, round, 2000 + 100 * round),
      sample('qemu-nbd TCP', cell, round, 1000 + 50 * round),
    ]),
  );
  return {
    place: 'host',
    title: 'host, tgt',
    grid: 'charts',
    field: 'peers',
    quick: false,
    rounds: 3,
    roundsDone: 3,
    seconds: 2,
    date: '2026-01-02T03:04:05.000Z',
    volumeMebibytes: 64,
    machine: {
      kind: 'a machine',
      cpu: 'a CPU',
      cpuCount: 2,
      memoryMebibytes: 1024,
      kernel: '6.1',
      commit: 'abc',
      versions: { node: '20.0.0' },
    },
    servers: [
      { label: 'iserd TCP' },
      { label: 'qemu-nbd TCP' },
      { label: 'open-iscsi TCP', error: 'no |module|\nfor it' },
    ],
    summaries: summarize(samples),
    samples,
    failures: [],
  };
}
