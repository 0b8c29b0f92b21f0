import { callControl } from '../control/client.ts';
import { statusSchema, type Status } from '../control/protocol.ts';
import { formatSize } from '../config/size.ts';
import { controlSocketOption, defineCommand, jsonOption, watchOption } from './options.ts';
import { formatTable } from './table.ts';
import { standardOutput, type Terminal } from './terminal.ts';
import { formatCount, formatDuration } from './units.ts';
import { watch } from './watch.ts';

export const statusCommand = defineCommand({
  command: 'status',
  describe: 'what a running daemon is doing',
  builder: (builder) =>
    builder
      .options({ ...controlSocketOption, ...jsonOption, ...watchOption })
      .option('verbose', {
        type: 'boolean',
        default: false,
        describe: 'sessions, lanes and registrations, too',
      })
      .example('$0 status', 'volumes, rates and latencies of the last ten seconds')
      .example('$0 status --watch', 'the same, of the last second, every second')
      .example('$0 status --json', 'for scripts'),
  handler: (options) => printStatus(options),
});

interface StatusOptions {
  readonly socket: string;
  readonly json: boolean;
  readonly watch: boolean;
  readonly verbose: boolean;
}

async function printStatus({ socket, json, watch: again, verbose }: StatusOptions): Promise<void> {
  const terminal = standardOutput();
  const draw = async (): Promise<string> => {
    const answer = await callControl(socket, 'status', again ? { seconds: 1 } : {});
    const status = statusSchema.parse(answer);
    if (json) return `${JSON.stringify(status, undefined, again ? undefined : 2)}\n`;
    return verbose ? describeDetails(status, terminal) : describeStatus(status, terminal);
  };
  if (again) await watch(json ? { ...terminal, isTty: false } : terminal, draw);
  else process.stdout.write(await draw());
}

type Volume = Status['volumes'][number];
type Cell = string | number;

const columnsOfVolumes = [
  'VOLUME',
  'STATE',
  'DEVICE',
  'TARGET',
  'TRANSPORT',
  'PORTAL',
  'SESSIONS',
  'IN FLIGHT',
  'IOPS',
  'READ/s',
  'WRITTEN/s',
  'P50',
  'P99',
  'RECONNECTS',
] as const;
/** Numbers with units. */
const rightColumns = ['IOPS', 'READ/s', 'WRITTEN/s', 'P50', 'P99'];
const targetColumn = columnsOfVolumes.indexOf('TARGET');

/** The status for people: who we are, a line for each volume, and what is wrong. */
export function describeStatus(status: Status, terminal: Terminal): string {
  const rows = status.volumes.map((volume) => volumeRow(volume, terminal));
  return `${header(status)}\n\n${fitTargets(rows, terminal)}\n${complaints(status)}`;
}

/** The same with a line for each session, lane and registration. */
export function describeDetails(status: Status, terminal: Terminal): string {
  const parts = [sessionTable(status), laneTable(status)];
  const registrations = registrationTable(status);
  if (registrations !== undefined) parts.push(registrations);
  return `${describeStatus(status, terminal)}\n${parts.join('\n\n')}\n`;
}

function header({ pid, uptimeSeconds, volumes }: Status): string {
  const serving = volumes.filter(({ state }) => state === 'serving').length;
  return `iserd, pid ${pid}, up ${formatUptime(uptimeSeconds)}, ${serving} of ${volumes.length} volumes serving`;
}

/** "12 s", "3 min", "5 h 12 min", "3 d 4 h". */
export function formatUptime(seconds: number): string {
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  const days = Math.floor(hours / 24);
  if (minutes === 0) return `${seconds} s`;
  if (hours === 0) return `${minutes} min`;
  return days === 0 ? `${hours} h ${minutes % 60} min` : `${days} d ${hours % 24} h`;
}

function volumeRow(volume: Volume, { unicode }: Terminal): Cell[] {
  const { sessions, recent } = volume;
  const sum = (name: 'inFlight' | 'reconnects'): number =>
    sessions.reduce((total, session) => total + session[name], 0);
  const up = sessions.filter(({ state }) => state === 'up').length;
  const portals = new Set(sessions.map(({ portal }) => portal));
  const latency = (microseconds: number | undefined): string =>
    microseconds === undefined ? '-' : formatDuration(microseconds, unicode);
  return [
    volume.name,
    volume.state,
    volume.device ?? '-',
    `${volume.target}/${volume.lun}`,
    volume.transport,
    [...portals].join(',') || '-',
    up === sessions.length ? `${up}` : `${up} of ${sessions.length}`,
    sum('inFlight'),
    recent === null
      ? '-'
      : formatCount(recent.readsPerSecond + recent.writesPerSecond + recent.othersPerSecond),
    recent === null ? '-' : formatSize(Math.round(recent.bytesReadPerSecond)),
    recent === null ? '-' : formatSize(Math.round(recent.bytesWrittenPerSecond)),
    latency(recent?.latency?.p50Microseconds),
    latency(recent?.latency?.p99Microseconds),
    sum('reconnects'),
  ];
}

/** On a terminal that is too narrow targets give way: their ends tell more than their beginnings. */
function fitTargets(rows: readonly (readonly Cell[])[], terminal: Terminal): string {
  const table = formatTable(columnsOfVolumes, rows, rightColumns);
  const width = Math.max(...table.split('\n').map((line) => line.length));
  const longest = Math.max(0, ...rows.map((row) => String(row[targetColumn]).length));
  const most = Math.max('TARGET'.length, longest - (width - terminal.columns));
  if (most >= longest) return table;
  const dots = terminal.unicode ? '…' : '...';
  const shortened = rows.map((row) =>
    row.map((cell, column) => {
      const text = String(cell);
      if (column !== targetColumn || text.length <= most) return cell;
      return dots + text.slice(text.length - Math.max(0, most - dots.length));
    }),
  );
  return formatTable(columnsOfVolumes, shortened, rightColumns);
}

/** A line for each thing that an operator should look at. */
function complaints({ volumes, lanes }: Status): string {
  const failures = volumes.flatMap(({ name, state, failure }) =>
    failure === null ? [] : [`volume ${name} is ${state}: ${failure}`],
  );
  const stuck = lanes.flatMap(({ silentMs }, index) =>
    silentMs < 3000 ? [] : [`lane ${index} has not answered for ${Math.round(silentMs / 1000)} s`],
  );
  const lines = [...failures, ...stuck];
  return lines.length === 0 ? '' : `\n${lines.join('\n')}\n`;
}

function sessionTable(status: Status): string {
  return formatTable(
    [
      'VOLUME',
      'SESSION',
      'LANE',
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
    status.volumes.flatMap((volume) =>
      volume.sessions.map((session, index) => [
        volume.name,
        index,
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
    ),
  );
}

function laneTable(status: Status): string {
  return formatTable(
    ['LANE', 'ANSWERED', 'LAG', 'ARENA', 'USED', 'MOST USED', 'REQUESTS'],
    status.lanes.map((lane, index) => [
      index,
      `${formatDuration(lane.silentMs * 1000, false)} ago`,
      formatDuration(lane.loopLagMs * 1000, false),
      formatSize(lane.arenaBytes),
      formatSize(lane.usedBytes),
      formatSize(lane.peakUsedBytes),
      `${lane.requestsInFlight} of ${lane.requestCapacity}`,
    ]),
  );
}

function registrationTable(status: Status): string | undefined {
  const rows = status.lanes.flatMap((lane, index) =>
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
  if (rows.length === 0) return undefined;
  return formatTable(
    ['LANE', 'RDMA DEVICE', 'REGISTRATION', 'HITS', 'MISSES', 'EVICTIONS', 'ENTRIES', 'PINNED'],
    rows,
  );
}
