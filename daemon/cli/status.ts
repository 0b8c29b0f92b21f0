import { callControl } from '../control/client.ts';
import { statusSchema, type Status } from '../control/protocol.ts';
import { formatSize } from '../config/size.ts';
import { formatTable } from './table.ts';
import { controlSocketOption, defineCommand, jsonOption } from './options.ts';

export const statusCommand = defineCommand({
  command: 'status',
  describe: 'what a running daemon is doing',
  builder: (builder) =>
    builder
      .options({ ...controlSocketOption, ...jsonOption })
      .example('$0 status', 'volumes, devices, sessions')
      .example('$0 status --json', 'the same for scripts'),
  handler: (options) => printStatus(options),
});

export async function printStatus(options: {
  readonly socket: string;
  readonly json: boolean;
}): Promise<void> {
  const status = statusSchema.parse(await callControl(options.socket, 'status'));
  process.stdout.write(
    options.json ? `${JSON.stringify(status, undefined, 2)}\n` : describeStatus(status),
  );
}

/** The status for people: a table of volumes, one of sessions, one of registrations. */
export function describeStatus(status: Status): string {
  const volumes = status.volumes.map((volume) => [
    volume.name,
    volume.state,
    volume.device ?? '-',
    volume.transport,
    formatSize(volume.sizeBytes),
    volume.target,
    volume.lun,
    volume.failure ?? '',
  ]);
  const sessions = status.volumes.flatMap((volume) =>
    volume.sessions.map((session) => [
      volume.name,
      session.lane,
      session.state,
      session.portal,
      session.clients,
      session.inFlight,
      session.reads,
      session.writes,
      formatSize(session.bytesRead),
      formatSize(session.bytesWritten),
      session.errors,
      session.reconnects,
    ]),
  );
  const registrations = status.lanes.flatMap((lane, index) =>
    lane.registrations.map((registration) => [
      index,
      registration.device,
      registration.strategy,
      registration.hits,
      registration.misses,
      registration.evictions,
      registration.entries,
      formatSize(registration.pinnedBytes),
    ]),
  );
  const parts = [
    `iserd, pid ${status.pid}, up ${status.uptimeSeconds} s`,
    formatTable(
      ['VOLUME', 'STATE', 'DEVICE', 'TRANSPORT', 'SIZE', 'TARGET', 'LUN', 'FAILURE'],
      volumes,
    ),
    formatTable(
      [
        'VOLUME',
        'SESSION',
        'STATE',
        'PORTAL',
        'CLIENTS',
        'IN FLIGHT',
        'READS',
        'WRITES',
        'READ',
        'WRITTEN',
        'ERRORS',
        'RECONNECTS',
      ],
      sessions,
    ),
  ];
  if (registrations.length > 0) {
    parts.push(
      formatTable(
        ['LANE', 'RDMA DEVICE', 'REGISTRATION', 'HITS', 'MISSES', 'EVICTIONS', 'ENTRIES', 'PINNED'],
        registrations,
      ),
    );
  }
  return `${parts.join('\n\n')}\n`;
}
