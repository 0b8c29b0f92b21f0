import type { Supervisor } from '../supervisor.ts';
import type { Volume } from '../volume.ts';
import { controlVersion, type Status } from './protocol.ts';

/** The `status` method: what every volume and lane is doing now. */
export async function daemonStatus(supervisor: Supervisor): Promise<Status> {
  const lanes = await supervisor.laneStatistics();
  return {
    version: controlVersion,
    pid: process.pid,
    uptimeSeconds: Math.round(process.uptime()),
    volumes: await Promise.all(supervisor.volumes.map(volumeStatus)),
    lanes: lanes.map(
      ({ arenaBytes, usedBytes, peakUsedBytes, requestsInFlight, registrations }) => ({
        arenaBytes,
        usedBytes,
        peakUsedBytes,
        requestsInFlight,
        registrations: [...registrations],
      }),
    ),
  };
}

async function volumeStatus(volume: Volume): Promise<Status['volumes'][number]> {
  const { spec, report } = volume;
  const [session] = spec.sessions;
  const sessions = (await volume.statistics()).map((statistics, lane) => ({ lane, ...statistics }));
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
    sessions,
  };
}
