/** What a volume has done since its sessions were opened, and what it is doing now. */
import type { LanePort } from '../lane/lane-thread.ts';
import type { SessionStatistics } from '../lane/messages.ts';
import type { LaneSample, StatisticsSampler } from './sampler.ts';
import { allKinds, sumSessions, type Totals } from './totals.ts';

/** Where a session is. */
export interface SessionPlace {
  readonly lane: LanePort;
  readonly report: { readonly session: number };
}

/** Per second of the last few; null: too little is known yet. Latencies in microseconds; null: nothing was answered. */
export interface RecentActivity {
  readonly seconds: number;
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly othersPerSecond: number;
  readonly bytesReadPerSecond: number;
  readonly bytesWrittenPerSecond: number;
  readonly latency: {
    readonly meanMicroseconds: number;
    readonly p50Microseconds: number;
    readonly p99Microseconds: number;
  } | null;
}

/** Statistics of these sessions, in their order; those of lanes that have never answered are missing. */
export function sessionsOf(
  sampler: StatisticsSampler,
  places: readonly SessionPlace[],
): SessionStatistics[] {
  return places.flatMap(({ lane, report }) => find(sampler.latest(lane), report.session) ?? []);
}

export function totalsOf(sampler: StatisticsSampler, places: readonly SessionPlace[]): Totals {
  return sumSessions(sessionsOf(sampler, places));
}

/** What these sessions did in about the last `seconds`, at most ten. */
export function recentActivity(
  sampler: StatisticsSampler,
  places: readonly SessionPlace[],
  seconds: number,
): RecentActivity | null {
  const spans = places.map(({ lane }) => {
    const latest = sampler.latest(lane);
    const earlier = sampler.earlier(lane, seconds);
    return latest === undefined || earlier === undefined ? 0 : latest.atMs - earlier.atMs;
  });
  const spanSeconds = Math.max(0, ...spans) / 1000;
  if (spanSeconds === 0) return null;
  const now = totalsOf(sampler, places);
  // A session that was not there yet has counted from zero since.
  const before = sumSessions(
    places.flatMap(
      ({ lane, report }) => find(sampler.earlier(lane, seconds), report.session) ?? [],
    ),
  );
  const rate = (name: 'reads' | 'writes' | 'others' | 'bytesRead' | 'bytesWritten'): number =>
    (now[name] - before[name]) / spanSeconds;
  const latencies = allKinds(now.latencies);
  latencies.subtract(allKinds(before.latencies).snapshot());
  return {
    seconds: spanSeconds,
    readsPerSecond: rate('reads'),
    writesPerSecond: rate('writes'),
    othersPerSecond: rate('others'),
    bytesReadPerSecond: rate('bytesRead'),
    bytesWrittenPerSecond: rate('bytesWritten'),
    latency:
      latencies.count === 0
        ? null
        : {
            meanMicroseconds: latencies.mean,
            p50Microseconds: latencies.quantile(0.5),
            p99Microseconds: latencies.quantile(0.99),
          },
  };
}

function find(sample: LaneSample | undefined, session: number): SessionStatistics | undefined {
  return sample?.statistics.sessions.find((each) => each.session === session);
}
