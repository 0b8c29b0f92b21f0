import type { StatisticsSampler } from '../statistics/sampler.ts';
import { recentActivity } from '../statistics/volume-activity.ts';
import type { Supervisor } from '../supervisor.ts';
import type { Volume } from '../volume/volume.ts';
import { controlVersion, type Status } from './protocol.ts';
import { sessionSchema, statusParametersSchema } from './statistics-schema.ts';

/** How long lanes have to answer before what they said last is told. */
export const laneAnswerMs = 1000;

/** The `status` method: what every volume and lane is doing now, also when a lane is stuck. */
export async function daemonStatus(
  supervisor: Supervisor,
  sampler: StatisticsSampler,
  parameters: Record<string, unknown>,
): Promise<Status> {
  const { seconds } = statusParametersSchema.parse(parameters);
  await sampler.refresh(laneAnswerMs);
  const lanes = supervisor.lanes;
  return {
    version: controlVersion,
    pid: process.pid,
    uptimeSeconds: Math.round(process.uptime()),
    volumes: supervisor.volumes.map((volume) => ({
      ...volumeStatus(volume),
      sessions: volume.sessions.flatMap(({ lane, report }) => {
        const statistics = sampler.latest(lane)?.statistics.sessions;
        const found = statistics?.find(({ session }) => session === report.session);
        // Parsed, because histograms belong to `stats`.
        return found === undefined
          ? []
          : [sessionSchema.parse({ lane: lanes.indexOf(lane), ...found })];
      }),
      recent: recentActivity(sampler, volume.sessions, seconds),
    })),
    lanes: sampler.views().map(({ latest, silentMs }) => ({
      silentMs,
      loopLagMs: latest?.statistics.loopLagMs ?? 0,
      arenaBytes: latest?.statistics.arenaBytes ?? 0,
      usedBytes: latest?.statistics.usedBytes ?? 0,
      peakUsedBytes: latest?.statistics.peakUsedBytes ?? 0,
      arenaFailures: latest?.statistics.arenaFailures ?? 0,
      requestsInFlight: latest?.statistics.requestsInFlight ?? 0,
      requestCapacity: latest?.statistics.requestCapacity ?? 0,
      registrations: [...(latest?.statistics.registrations ?? [])],
    })),
  };
}

function volumeStatus(volume: Volume): Omit<Status['volumes'][number], 'sessions' | 'recent'> {
  const { spec, report } = volume;
  const [session] = spec.sessions;
  return {
    name: spec.name,
    state: volume.state,
    device: volume.devicePath ?? null,
    socket: spec.socket ?? null,
    target: session.targetName,
    lun: session.lun,
    transport: session.transport,
    identity: report?.identity ?? '',
    sizeBytes: report?.geometry.sizeBytes ?? 0,
    logicalBlockLength: report?.geometry.logicalBlockLength ?? 0,
    readOnly: report?.geometry.readOnly ?? session.readOnly,
    failure: volume.failure ?? null,
  };
}
