/** Statistics of lanes and sessions that have done nothing but what a test says. */
import type {
  LaneStatistics,
  RegistrationReport,
  SessionStatistics,
} from '../../daemon/lane/messages.ts';

export function sessionStatistics(what: Partial<SessionStatistics> = {}): SessionStatistics {
  return {
    session: 0,
    volume: 'data',
    state: 'up',
    transport: 'tcp',
    portal: '127.0.0.1:3260',
    reconnects: 0,
    clients: 0,
    inFlight: 0,
    reads: 0,
    writes: 0,
    flushes: 0,
    trims: 0,
    writeZeroes: 0,
    caches: 0,
    blockStatuses: 0,
    others: 0,
    bytesRead: 0,
    bytesWritten: 0,
    errors: 0,
    refused: 0,
    errorsByReason: {},
    commandFailures: {},
    connectionsLost: {},
    loginFailures: {},
    clientEnds: {},
    clientsDropped: 0,
    stalls: 0,
    bytesMoved: 0,
    commands: {},
    ...what,
  };
}

export function laneStatistics(what: Partial<LaneStatistics> = {}): LaneStatistics {
  return {
    heartbeat: 1,
    loopLagMs: 0,
    arenaBytes: 0,
    usedBytes: 0,
    peakUsedBytes: 0,
    arenaFailures: 0,
    requestsInFlight: 0,
    requestCapacity: 0,
    registrations: [],
    sessions: [],
    ...what,
  };
}

/** Of a cache that was used a little. */
export function registrationReport(): RegistrationReport {
  return {
    device: 'rxe0',
    strategy: 'cache',
    hits: 10,
    misses: 2,
    evictions: 1,
    retries: 0,
    failures: 0,
    entries: 1,
    pinnedBytes: 4096,
    registrationMicroseconds: 1500,
  };
}
