/** What iserd aims at, as data: each figure, against whom, the limit, and how to find it in what was measured. */
import { grid, type Cell } from '../grid.ts';
import type { PlaceResult } from '../results.ts';
import { spread, findSummary, type Summary } from '../summary.ts';
import type { PartResult } from '../strategies/results.ts';
import { markdownTable } from '../table.ts';
import { workloadName } from '../workload.ts';
import type { Measured } from './measured.ts';

export interface TargetRow {
  readonly figure: string;
  readonly against: string;
  readonly limit: number;
  /** Whether the value has to reach the limit or to stay below it. */
  readonly atLeast: boolean;
  /** undefined: not measured. */
  readonly value: number | undefined;
}

type Measure = (summary: Summary) => number | undefined;

const iops: Measure = ({ iops }) => iops.median;
const bandwidth: Measure = ({ bytesPerSecond }) => bytesPerSecond.median;
const latency: Measure = ({ meanLatencyMicroseconds }) => meanLatencyMicroseconds.median;
const tailLatency: Measure = ({ p999LatencyMicroseconds }) => p999LatencyMicroseconds.median;
const cpu: Measure = ({ cpuMicrosecondsPerRequest }) => cpuMicrosecondsPerRequest?.median;

const cells = grid('side-by-side', false).cells;
const withDepth = (depth: number): Cell[] => cells.filter((cell) => cell.depth === depth);
const large = (least: number): Cell[] => cells.filter(({ blockSize }) => blockSize >= least);

interface Comparison {
  readonly result: PlaceResult | undefined;
  readonly ours: string;
  readonly theirs: string;
  readonly where: string;
}

function compare(
  { result, ours, theirs, where }: Comparison,
  chosen: readonly Cell[],
  what: string,
  measure: Measure,
  limit: number,
  atLeast = true,
): TargetRow[] {
  return chosen.map((cell) => ({
    figure: `${workloadName(cell)}: ${what}, ${where}`,
    against: theirs,
    limit,
    atLeast,
    value: quotient(valueOf(result, ours, cell, measure), valueOf(result, theirs, cell, measure)),
  }));
}

function valueOf(
  result: PlaceResult | undefined,
  server: string,
  cell: Cell,
  measure: Measure,
): number | undefined {
  const summary = result && findSummary(result.summaries, server, cell);
  return summary && measure(summary);
}

function quotient(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined || b === 0 ? undefined : a / b;
}

export function targetRows(measured: Measured): TargetRow[] {
  const host: Comparison = {
    result: measured.host,
    ours: 'iserd TCP',
    theirs: 'qemu-nbd TCP',
    where: 'host',
  };
  const guest: Comparison = {
    result: measured.guest,
    ours: 'iserd iSER',
    theirs: 'qemu-nbd iSER',
    where: 'VM',
  };
  const kernel: Comparison = { ...guest, theirs: 'open-iscsi iSER' };
  const hop: Comparison = {
    result: measured.hop,
    ours: 'iserd NBD',
    theirs: 'epoll NBD',
    where: 'hop alone',
  };
  const tail: Comparison = { ...host, result: measured.tail };
  const kibibyte = 2 ** 10;
  return [
    ...[host, guest].flatMap((place) => [
      ...compare(place, withDepth(32), 'IOPS', iops, 1.5),
      ...compare(place, withDepth(1), 'mean latency', latency, 0.8, false),
      ...compare(place, large(256 * kibibyte), 'bandwidth', bandwidth, 1.5),
      ...compare(place, withDepth(32), 'CPU time per request', cpu, 0.6, false),
    ]),
    ...compare(tail, grid('tail', false).cells, 'p99.9 latency', tailLatency, 1, false),
    ...compare(kernel, large(64 * kibibyte), 'bandwidth', bandwidth, 0.9),
    ...compare(hop, cells, 'IOPS', iops, 0.9),
    ...strategyRows(measured.strategies),
    ...idleMemoryRows(measured),
    ...garbageRows(measured),
  ];
}

/** The cache's rate against the static strategy's, and what it pins under load against what is in flight at most. */
function strategyRows(result: PartResult | undefined): TargetRow[] {
  const samples = result?.runs.flatMap((run) => run.samples) ?? [];
  const names = [...new Set(samples.map(({ cell }) => workloadName(cell)))];
  return names.flatMap((name): TargetRow[] => {
    const of = (contender: string): typeof samples =>
      samples.filter((each) => each.contender === contender && workloadName(each.cell) === name);
    const [cache, whole] = [of('cache'), of('static')];
    if (cache.length === 0 || whole.length === 0) return [];
    const rate = (some: typeof samples): number => spread(some.map(({ iops }) => iops)).median;
    const { blockSize, depth } = cache[0].cell;
    const pinned = Math.max(...cache.map(({ pins }) => pins.pinnedBytes));
    return [
      {
        figure: `${name}: IOPS of \`cache\`, VM`,
        against: '`static`',
        limit: 0.98,
        atLeast: true,
        value: quotient(rate(cache), rate(whole)),
      },
      {
        figure: `${name}: pinned by \`cache\`, VM`,
        against: 'bytes in flight',
        limit: 1.2,
        atLeast: false,
        value: pinned / (blockSize * depth),
      },
    ];
  });
}

function idleMemoryRows({ idleMemory }: Measured): TargetRow[] {
  const ratios = idleMemory?.ratios ?? [];
  return ratios
    .filter(({ volumes }) => volumes > 1)
    .map(({ volumes, rss }) => ({
      figure: `RSS of a daemon with ${volumes} idle volumes`,
      against: `${volumes} × qemu-nbd`,
      limit: 0.5,
      atLeast: false,
      value: rss,
    }));
}

function garbageRows({ garbage }: Measured): TargetRow[] {
  return (garbage?.rows ?? []).flatMap(
    ({ device, workload, scavengesPerMillion, markCompactsPerMillion }): TargetRow[] => [
      {
        figure: `${workload}: scavenges per million, ${device}`,
        against: '–',
        limit: 1,
        atLeast: false,
        value: scavengesPerMillion,
      },
      {
        figure: `${workload}: mark-compacts per million, ${device}`,
        against: '–',
        limit: 0,
        atLeast: false,
        value: markCompactsPerMillion,
      },
    ],
  );
}

/** undefined: not measured. */
export function isMet({ value, limit, atLeast }: TargetRow): boolean | undefined {
  if (value === undefined) return undefined;
  return atLeast ? value >= limit : value <= limit;
}

export function targetTable(rows: readonly TargetRow[]): string {
  const answers = new Map([
    [true, 'yes'],
    [false, 'no'],
    [undefined, '–'],
  ]);
  const table = markdownTable(
    ['figure', 'against', 'aim', 'measured', 'met'],
    rows.map((row) => [
      row.figure,
      row.against,
      `${row.atLeast ? '≥' : '≤'} ${row.limit}`,
      row.value === undefined ? 'not measured' : row.value.toFixed(2),
      answers.get(isMet(row)) ?? '–',
    ]),
  );
  const met = rows.filter((row) => isMet(row) === true).length;
  const missing = rows.filter((row) => isMet(row) === undefined).length;
  return `${table}\n\n${met} of ${rows.length} met, ${missing} not measured\n`;
}
