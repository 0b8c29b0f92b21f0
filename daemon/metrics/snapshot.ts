/** What a scrape tells: everything at one moment, with names as an operator knows them. */
import type { LaneView, StatisticsSampler } from '../statistics/sampler.ts';
import type { Totals } from '../statistics/totals.ts';
import { sessionsOf, totalsOf } from '../statistics/volume-activity.ts';
import type { Supervisor } from '../supervisor.ts';
import type { VolumeState } from '../volume/volume.ts';

export interface VolumeSnapshot {
  readonly name: string;
  readonly state: VolumeState;
  readonly target: string;
  readonly lun: number;
  readonly transport: string;
  readonly device: string;
  readonly sizeBytes: number;
  /** That the volume is to have. */
  readonly sessions: number;
  readonly sessionsUp: number;
  readonly totals: Totals;
}

export interface DaemonSnapshot {
  readonly version: string;
  readonly nodeVersion: string;
  readonly process: {
    readonly cpuSeconds: number;
    readonly residentBytes: number;
    readonly openFds: number;
    /** Since the epoch. */
    readonly startSeconds: number;
  };
  readonly volumes: readonly VolumeSnapshot[];
  readonly lanes: readonly LaneView[];
}

/** Of volumes and lanes; who calls has refreshed the sampler. */
export function volumesAndLanes(
  supervisor: Pick<Supervisor, 'volumes'>,
  sampler: StatisticsSampler,
): Pick<DaemonSnapshot, 'volumes' | 'lanes'> {
  const volumes = supervisor.volumes.map(({ spec, state, devicePath, report, sessions }) => {
    const [session] = spec.sessions;
    const { targetName: target, lun, transport } = session;
    return {
      name: spec.name,
      state,
      target,
      lun,
      transport,
      device: devicePath ?? '',
      sizeBytes: report?.geometry.sizeBytes ?? 0,
      sessions: spec.sessions.length,
      sessionsUp: sessionsOf(sampler, sessions).filter((each) => each.state === 'up').length,
      totals: totalsOf(sampler, sessions),
    };
  });
  return { volumes, lanes: sampler.views() };
}
