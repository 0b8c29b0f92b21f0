/** The statistics of a volume for people. */
import { formatSize } from '../config/size.ts';
import type { VolumeStats } from '../control/statistics-schema.ts';
import { Histogram } from '../../src/histogram.ts';
import { latencyKinds, type LatencyKind } from '../../src/nbd/latencies.ts';
import { drawHistogram } from './chart.ts';
import { formatFields, formatTable } from './table.ts';
import type { Terminal } from './terminal.ts';
import { formatCount, formatDuration } from './units.ts';

const quantiles: readonly (readonly [string, number])[] = [
  ['P50', 0.5],
  ['P90', 0.9],
  ['P99', 0.99],
  ['P99.9', 0.999],
  ['P99.99', 0.9999],
];

/** Everything since the sessions of the volume were opened. */
export function describeVolume(
  volume: VolumeStats,
  withChart: boolean,
  terminal: Terminal,
): string {
  const parts = [title(volume), latencyTable(volume, terminal)];
  if (withChart) parts.push(...charts(volume, terminal));
  parts.push(formatFields(countsOf(volume)));
  return `${parts.join('\n\n')}\n`;
}

/** What happened in the last `seconds`. */
export function describeActivity(
  volume: VolumeStats,
  seconds: number,
  withChart: boolean,
  terminal: Terminal,
): string {
  const perSecond = (count: number): string => formatCount(count / seconds);
  const rate = (bytes: number): string => `${formatSize(Math.round(bytes / seconds))}/s`;
  const { reads, writes, others, bytesRead, bytesWritten } = volume;
  const activity = `last ${seconds.toFixed(1)} s: ${perSecond(reads + writes + others)} IOPS, ${rate(bytesRead)} read, ${rate(bytesWritten)} written`;
  const parts = [`${title(volume)}\n${activity}`, latencyTable(volume, terminal)];
  if (withChart) parts.push(...charts(volume, terminal));
  const errors = listOf(volume.errorsByReason);
  if (errors !== '') parts.push(`  errors  ${errors}`);
  return `${parts.join('\n\n')}\n`;
}

function title({ name, state, sessions, clients, inFlight }: VolumeStats): string {
  const plural = (count: number, what: string): string =>
    `${count} ${what}${count === 1 ? '' : 's'}`;
  return `volume ${name}: ${state}, ${plural(sessions, 'session')}, ${plural(clients, 'client')}, ${inFlight} in flight`;
}

function latencyTable({ latencies }: VolumeStats, { unicode }: Terminal): string {
  const rows = latencyKinds.map((kind) => {
    const histogram = Histogram.of(latencies[kind]);
    const time = (microseconds: number): string =>
      histogram.count === 0 ? '-' : formatDuration(microseconds, unicode);
    return [
      kind,
      formatCount(histogram.count),
      time(Math.round(histogram.mean)),
      ...quantiles.map(([, fraction]) => time(histogram.quantile(fraction))),
      time(histogram.maximum),
    ];
  });
  const names = quantiles.map(([name]) => name);
  const numbers = ['COUNT', 'MEAN', ...names, 'MAX'];
  return formatTable(['LATENCY', ...numbers], rows, numbers);
}

function charts({ latencies }: VolumeStats, terminal: Terminal): string[] {
  return latencyKinds.flatMap((kind: LatencyKind) => {
    const chart = drawHistogram(Histogram.of(latencies[kind]), terminal);
    return chart === '' ? [] : [`${kind}\n${chart}`];
  });
}

function countsOf(volume: VolumeStats): Record<string, string> {
  const fields: Record<string, string> = {
    reads: `${formatCount(volume.reads)} (${formatSize(volume.bytesRead)})`,
    writes: `${formatCount(volume.writes)} (${formatSize(volume.bytesWritten)})`,
    flushes: formatCount(volume.flushes),
    others: `trim ${formatCount(volume.trims)}, write zeroes ${formatCount(volume.writeZeroes)}, cache ${formatCount(volume.caches)}, block status ${formatCount(volume.blockStatuses)}`,
    errors: listOf(volume.errorsByReason) || 'none',
    reconnects: formatCount(volume.reconnects),
  };
  const lists = {
    'connections lost': volume.connectionsLost,
    'login failures': volume.loginFailures,
    'SCSI failures': volume.commandFailures,
    'clients gone': volume.clientEnds,
  };
  for (const [name, counts] of Object.entries(lists)) {
    const list = listOf(counts);
    if (list !== '') fields[name] = list;
  }
  return fields;
}

/** "device-failed 3, past-end 1": the most frequent first. */
function listOf(counts: Readonly<Record<string, number>>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, count]) => `${reason} ${formatCount(count)}`)
    .join(', ');
}
