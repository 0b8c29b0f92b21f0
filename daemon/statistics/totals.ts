/** What the sessions of a volume have done, together. */
import { Histogram, type HistogramSnapshot } from '../../src/histogram.ts';
import { latencyKinds, type LatencyKind } from '../../src/nbd/latencies.ts';
import type { Counts, SessionStatistics } from '../lane/messages.ts';

/** What only grows while a session lives. */
export const counterNames = [
  'reconnects',
  'reads',
  'writes',
  'flushes',
  'trims',
  'writeZeroes',
  'caches',
  'blockStatuses',
  'others',
  'bytesRead',
  'bytesWritten',
  'errors',
  'refused',
  'clientsDropped',
  'stalls',
] as const;
const summed = ['clients', 'inFlight', ...counterNames] as const;
const summedByReason = [
  'errorsByReason',
  'commandFailures',
  'connectionsLost',
  'loginFailures',
  'clientEnds',
  'commands',
] as const;

export type Totals = Readonly<Record<(typeof summed)[number], number>> &
  Readonly<Record<(typeof summedByReason)[number], Counts>> & {
    readonly latencies: Readonly<Record<LatencyKind, Histogram>>;
  };

/** The histograms are new ones, the caller's. */
export function sumSessions(sessions: readonly SessionStatistics[]): Totals {
  const numbers = Object.fromEntries(
    summed.map((name) => [name, sessions.reduce((sum, session) => sum + session[name], 0)]),
  ) as Record<(typeof summed)[number], number>;
  const byReason = Object.fromEntries(
    summedByReason.map((name) => [name, sumCounts(sessions.map((session) => session[name]))]),
  ) as Record<(typeof summedByReason)[number], Counts>;
  return { ...numbers, ...byReason, latencies: mergeLatencies(sessions) };
}

/** The requests of all kinds in one histogram. */
export function allKinds(latencies: Readonly<Record<LatencyKind, Histogram>>): Histogram {
  const all = new Histogram();
  for (const kind of latencyKinds) all.add(latencies[kind].snapshot());
  return all;
}

function mergeLatencies(sessions: readonly SessionStatistics[]): Record<LatencyKind, Histogram> {
  const merge = (kind: LatencyKind): Histogram => {
    const histogram = new Histogram();
    for (const { latencies } of sessions) addIfThere(histogram, latencies?.[kind]);
    return histogram;
  };
  return {
    read: merge('read'),
    write: merge('write'),
    flush: merge('flush'),
    other: merge('other'),
  };
}

function addIfThere(histogram: Histogram, snapshot: HistogramSnapshot | undefined): void {
  if (snapshot !== undefined) histogram.add(snapshot);
}

function sumCounts(all: readonly Counts[]): Counts {
  const sums: Record<string, number> = {};
  for (const counts of all)
    for (const [word, count] of Object.entries(counts)) sums[word] = (sums[word] ?? 0) + count;
  return sums;
}
