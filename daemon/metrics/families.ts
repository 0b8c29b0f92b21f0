/** Every metric of the daemon. Names and units: prometheus.io/docs/practices/naming. */
import { refusalNames } from '../../src/nbd/refusal.ts';
import { latencyKinds } from '../../src/nbd/latencies.ts';
import type { Counts, LaneStatistics, RegistrationReport } from '../lane/messages.ts';
import type { Totals } from '../statistics/totals.ts';
import type { VolumeState } from '../volume/volume.ts';
import type { Family, HistogramFamily, Labels, Sample } from './family.ts';
import type { VolumeSnapshot } from './snapshot.ts';

/** An object, so that none can be forgotten. */
const volumeStates = Object.keys({
  stopped: 0,
  starting: 0,
  waiting: 0,
  serving: 0,
  failed: 0,
  stopping: 0,
} satisfies Record<VolumeState, 0>);

const operations = {
  read: 'reads',
  write: 'writes',
  flush: 'flushes',
  trim: 'trims',
  write_zeroes: 'writeZeroes',
  cache: 'caches',
  block_status: 'blockStatuses',
} as const satisfies Readonly<Record<string, keyof Totals>>;

export const families: readonly (Family | HistogramFamily)[] = [
  {
    name: 'iserd_build_info',
    type: 'gauge',
    help: 'Version of iserd and of Node.js; always 1.',
    samples: ({ version, nodeVersion }) => [[{ version, node_version: nodeVersion }, 1]],
  },
  {
    name: 'process_cpu_seconds_total',
    type: 'counter',
    help: 'User and system CPU time of the process.',
    samples: ({ process }) => [[{}, process.cpuSeconds]],
  },
  {
    name: 'process_resident_memory_bytes',
    type: 'gauge',
    help: 'Memory of the process that is in RAM.',
    samples: ({ process }) => [[{}, process.residentBytes]],
  },
  {
    name: 'process_open_fds',
    type: 'gauge',
    help: 'Open file descriptors.',
    samples: ({ process }) => [[{}, process.openFds]],
  },
  {
    name: 'process_start_time_seconds',
    type: 'gauge',
    help: 'When the process was started, since the epoch.',
    samples: ({ process }) => [[{}, process.startSeconds]],
  },
  ofVolumes('info', 'gauge', 'What a volume is; always 1.', (volume) => {
    const { target, lun, transport, device } = volume;
    return [[{ target, lun, transport, device }, 1]];
  }),
  ofVolumes(
    'state',
    'gauge',
    '1 for the state that the volume is in, 0 for the others.',
    (volume) => volumeStates.map((state) => [{ state }, state === volume.state ? 1 : 0]),
  ),
  ofVolumes('size_bytes', 'gauge', 'Capacity; 0 while it is not known.', ({ sizeBytes }) => [
    [{}, sizeBytes],
  ]),
  ofVolumes('sessions', 'gauge', 'iSCSI sessions that the volume is to have.', ({ sessions }) => [
    [{}, sessions],
  ]),
  ofVolumes('sessions_up', 'gauge', 'Sessions that are logged in.', ({ sessionsUp }) => [
    [{}, sessionsUp],
  ]),
  ofTotals('clients', 'gauge', 'NBD clients connected, the kernel included.', 'clients'),
  ofTotals('requests_in_flight', 'gauge', 'Requests at the device.', 'inFlight'),
  ofVolumes('requests_total', 'counter', 'Requests accepted.', ({ totals }) =>
    Object.entries(operations).map(([operation, name]) => [{ operation }, totals[name]]),
  ),
  ofTotals('read_bytes_total', 'counter', 'Bytes read.', 'bytesRead'),
  ofTotals('written_bytes_total', 'counter', 'Bytes written.', 'bytesWritten'),
  {
    name: 'iserd_volume_request_duration_seconds',
    type: 'histogram',
    help: 'From the receive of a request to its reply; operation="other": trim, write_zeroes, cache, block_status.',
    histograms: ({ volumes }) =>
      volumes.flatMap(({ name: volume, totals }) =>
        latencyKinds.map(
          (operation) => [{ volume, operation }, totals.latencies[operation]] as const,
        ),
      ),
  },
  // All reasons from the beginning: a counter that comes into being at 1 has not increased.
  ofVolumes('request_errors_total', 'counter', 'Requests answered with an error.', ({ totals }) =>
    refusalNames.slice(1).map((reason): Sample => [{ reason }, totals.errorsByReason[reason] ?? 0]),
  ),
  ofCounts(
    'command_failures_total',
    'SCSI commands that failed for good.',
    'cause',
    'commandFailures',
  ),
  ofTotals('reconnects_total', 'counter', 'Logins after the first.', 'reconnects'),
  ofCounts(
    'connections_lost_total',
    'Connections that ended after a login.',
    'reason',
    'connectionsLost',
  ),
  ofCounts(
    'login_failures_total',
    'Attempts to connect and log in that failed.',
    'reason',
    'loginFailures',
  ),
  ofCounts('client_ends_total', 'NBD clients that have gone.', 'reason', 'clientEnds'),
  ofTotals(
    'clients_dropped_total',
    'counter',
    'NBD clients that broke the protocol or a limit.',
    'clientsDropped',
  ),
  ofTotals(
    'stalls_total',
    'counter',
    'Times that a client had to wait for a slot, a buffer or a limit.',
    'stalls',
  ),
  ofVolumes(
    'scsi_commands_total',
    'counter',
    'SCSI commands by what became of them.',
    ({ totals }) =>
      ['sent', 'done', 'retried', 'requeued'].map((event) => [
        { event },
        totals.commands[event] ?? 0,
      ]),
  ),
  ofVolumes(
    'aborted_commands_total',
    'counter',
    'SCSI commands that were aborted for taking too long.',
    ({ totals }) => [[{}, totals.commands['abortTasks'] ?? 0]],
  ),
  ofVolumes(
    'logical_unit_resets_total',
    'counter',
    'Resets because an abort was not answered.',
    ({ totals }) => [[{}, totals.commands['logicalUnitResets'] ?? 0]],
  ),
  {
    name: 'iserd_lane_heartbeat_age_seconds',
    type: 'gauge',
    help: 'Since the lane last answered; it is asked every second.',
    samples: ({ lanes }) => lanes.map(({ silentMs }, lane) => [{ lane }, silentMs / 1000]),
  },
  ofLanes(
    'loop_lag_seconds',
    'gauge',
    'How long a question waited for the lane.',
    ({ loopLagMs }) => loopLagMs / 1000,
  ),
  ofLanes('sessions', 'gauge', 'Sessions on the lane.', ({ sessions }) => sessions.length),
  ofLanes(
    'requests_total',
    'counter',
    'Requests accepted by the sessions that are on the lane now.',
    ({ sessions }) =>
      sessions.reduce((sum, { reads, writes, others }) => sum + reads + writes + others, 0),
  ),
  ofLanes(
    'requests_in_flight',
    'gauge',
    'Request slots in use.',
    ({ requestsInFlight }) => requestsInFlight,
  ),
  ofLanes('request_slots', 'gauge', 'Request slots.', ({ requestCapacity }) => requestCapacity),
  ofLanes('arena_bytes', 'gauge', 'Memory for request payload.', ({ arenaBytes }) => arenaBytes),
  ofLanes('arena_used_bytes', 'gauge', 'Of it, in use.', ({ usedBytes }) => usedBytes),
  ofLanes(
    'arena_peak_used_bytes',
    'gauge',
    'Most that was ever in use.',
    ({ peakUsedBytes }) => peakUsedBytes,
  ),
  ofLanes(
    'arena_failures_total',
    'counter',
    'Times that no buffer was free.',
    ({ arenaFailures }) => arenaFailures,
  ),
  ofRegistrations(
    'hits_total',
    'counter',
    'Registrations that were there already.',
    ({ hits }) => hits,
  ),
  ofRegistrations(
    'misses_total',
    'counter',
    'Registrations that had to be made.',
    ({ misses }) => misses,
  ),
  ofRegistrations(
    'evictions_total',
    'counter',
    'Registrations given up for others.',
    ({ evictions }) => evictions,
  ),
  ofRegistrations(
    'retries_total',
    'counter',
    'Refusals of the kernel that an eviction cured.',
    ({ retries }) => retries,
  ),
  ofRegistrations(
    'failures_total',
    'counter',
    'Refusals of the kernel that nothing cured: requests waited.',
    ({ failures }) => failures,
  ),
  ofRegistrations('entries', 'gauge', 'Registrations.', ({ entries }) => entries),
  ofRegistrations(
    'pinned_bytes',
    'gauge',
    'Memory that they pin.',
    ({ pinnedBytes }) => pinnedBytes,
  ),
  ofRegistrations(
    'seconds_total',
    'counter',
    'Time spent registering.',
    ({ registrationMicroseconds }) => registrationMicroseconds / 1e6,
  ),
];

function ofVolumes(
  name: string,
  type: Family['type'],
  help: string,
  samples: (volume: VolumeSnapshot) => readonly Sample[],
): Family {
  return {
    name: `iserd_volume_${name}`,
    type,
    help,
    samples: ({ volumes }) =>
      volumes.flatMap((volume) =>
        samples(volume).map(
          ([labels, value]) => [{ volume: volume.name, ...labels }, value] as const,
        ),
      ),
  };
}

type NumberName = {
  [K in keyof Totals]: Totals[K] extends number ? K : never;
}[keyof Totals];
type CountsName = Exclude<keyof Totals, NumberName | 'latencies'>;

function ofTotals(name: string, type: Family['type'], help: string, total: NumberName): Family {
  return ofVolumes(name, type, help, ({ totals }) => [[{}, totals[total]]]);
}

function ofCounts(name: string, help: string, label: string, counts: CountsName): Family {
  return ofVolumes(name, 'counter', help, ({ totals }) => byLabel(label, totals[counts]));
}

function byLabel(label: string, counts: Counts): Sample[] {
  return Object.entries(counts).map(([word, count]) => [{ [label]: word }, count]);
}

/** What lanes said last. */
function ofLanes(
  name: string,
  type: Family['type'],
  help: string,
  value: (statistics: LaneStatistics) => number,
): Family {
  return {
    name: `iserd_lane_${name}`,
    type,
    help,
    samples: ({ lanes }) =>
      lanes.flatMap(({ latest }, lane) =>
        latest === undefined ? [] : [[{ lane }, value(latest.statistics)] as const],
      ),
  };
}

function ofRegistrations(
  name: string,
  type: Family['type'],
  help: string,
  value: (registration: RegistrationReport) => number,
): Family {
  const labelsOf = (lane: number, { device, strategy }: RegistrationReport): Labels => ({
    lane,
    device,
    strategy,
  });
  return {
    name: `iserd_registration_${name}`,
    type,
    help,
    samples: ({ lanes }) =>
      lanes.flatMap(({ latest }, lane) =>
        (latest?.statistics.registrations ?? []).map(
          (registration) => [labelsOf(lane, registration), value(registration)] as const,
        ),
      ),
  };
}
