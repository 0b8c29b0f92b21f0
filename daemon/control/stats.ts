import { CodedError } from '../../src/errors.ts';
import { latencyKinds } from '../../src/nbd/latencies.ts';
import type { StatisticsSampler } from '../statistics/sampler.ts';
import { totalsOf } from '../statistics/volume-activity.ts';
import { monotonicMs } from '../statistics/monotonic.ts';
import type { Supervisor } from '../supervisor.ts';
import { controlVersion } from './protocol.ts';
import { statsParametersSchema, type Stats, type VolumeStats } from './statistics-schema.ts';
import { laneAnswerMs } from './status.ts';

/** The `stats` method: everything that volumes have counted since their sessions were opened. */
export async function daemonStats(
  supervisor: Supervisor,
  sampler: StatisticsSampler,
  parameters: Record<string, unknown>,
): Promise<Stats> {
  const { volume: wanted } = statsParametersSchema.parse(parameters);
  const volumes = supervisor.volumes.filter(
    ({ spec }) => wanted === undefined || spec.name === wanted,
  );
  if (wanted !== undefined && volumes.length === 0) {
    const known = supervisor.volumes.map(({ spec }) => spec.name).join(', ');
    throw new CodedError('no-volume', `no volume "${wanted}"; there is ${known || 'none'}`);
  }
  await sampler.refresh(laneAnswerMs);
  return {
    version: controlVersion,
    atMs: monotonicMs(),
    volumes: volumes.map(({ spec, state, sessions }) => {
      const { latencies, ...counts } = totalsOf(sampler, sessions);
      const snapshots = latencyKinds.map((kind) => [kind, latencies[kind].snapshot()] as const);
      return {
        name: spec.name,
        state,
        sessions: sessions.length,
        ...counts,
        latencies: Object.fromEntries(snapshots),
      } as VolumeStats;
    }),
  };
}
