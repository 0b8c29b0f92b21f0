/** What the main thread and a lane's worker thread say to each other: JSON-RPC in spirit, structured clones in form. */
import type { BlockGeometry } from '../../src/block/device.ts';
import type { StrategyName } from '../../src/memory/registration-strategies.ts';
import type { HistogramSnapshot } from '../../src/histogram.ts';
import type { LatencyKind } from '../../src/nbd/latencies.ts';
import type { NbdLimits } from '../../src/nbd/limits.ts';

export interface LaneOptions {
  readonly registration: StrategyName;
  readonly pinLimitBytes: number;
  readonly arenaBytes: number;
  readonly hugePages: boolean;
  readonly spinMicroseconds: number;
  readonly requestCapacity: number;
  /** Lanes of the process, and sessions that are expected on this one: what the process may pin is divided accordingly. */
  readonly lanes: number;
  readonly sessions: number;
  /** Sessions that this lane has memory for; default: those that are expected. */
  readonly sessionCapacity?: number;
  /** What one NBD client may cost; the library's defaults where absent. */
  readonly clientLimits?: Partial<NbdLimits>;
}

export interface ChapAccount {
  readonly user: string;
  readonly secret: Uint8Array;
}

export type DigestWish = 'none' | 'crc32c' | 'prefer-crc32c';

/** One session to one logical unit, as a lane opens it. */
export interface SessionSpec {
  /** Volume name: for logs. */
  readonly volume: string;
  /** Of the volume's sessions; default 0. */
  readonly index?: number;
  readonly transport: 'iser' | 'tcp';
  readonly portals: readonly { readonly host: string; readonly port: number }[];
  readonly targetName: string;
  readonly lun: number;
  readonly initiatorName: string;
  /** 6 bytes; the same at every login of this session (RFC 7143 §10.1.1, session reinstatement). */
  readonly isid: Uint8Array;
  readonly chap?: ChapAccount;
  readonly mutualChap?: ChapAccount;
  readonly headerDigest: DigestWish;
  readonly dataDigest: DigestWish;
  readonly readOnly: boolean;
  /** Infinity: wait for ever. */
  readonly replacementTimeoutMs: number;
  readonly commandTimeoutMs: number;
  readonly loginTimeoutMs: number;
  /** How long the first login is tried. */
  readonly startTimeoutMs: number;
  readonly nopIntervalMs: number;
  readonly nopTimeoutMs: number;
}

export interface SessionReport {
  readonly session: number;
  readonly geometry: BlockGeometry;
  /** Stable identity of the logical unit (VPD 83 or 80). */
  readonly identity: string;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  /** What the LU supports, by name, for people. */
  readonly features: Readonly<Record<string, string | number | boolean>>;
  /** Every key negotiated or declared at login. */
  readonly keys: Readonly<Record<string, string>>;
}

/** Since when the session was opened, as everything here that counts. */
export type Counts = Readonly<Record<string, number>>;

export type LatencySnapshots = Readonly<Record<LatencyKind, HistogramSnapshot>>;

export interface SessionStatistics {
  readonly session: number;
  readonly volume: string;
  readonly state: string;
  readonly transport: 'iser' | 'tcp';
  readonly portal: string;
  readonly reconnects: number;
  readonly clients: number;
  readonly inFlight: number;
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
  readonly trims: number;
  readonly writeZeroes: number;
  readonly caches: number;
  readonly blockStatuses: number;
  /** All requests but reads and writes. */
  readonly others: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Requests that the device has failed. */
  readonly errors: number;
  /** Requests answered without the device because they were not acceptable. */
  readonly refused: number;
  /** Of both, by the reason given to the client (Refusal). */
  readonly errorsByReason: Counts;
  /** SCSI commands that failed for good: sense key, status, or why there was no answer. */
  readonly commandFailures: Counts;
  /** Connections that ended after a login, by ConnectionEnd. */
  readonly connectionsLost: Counts;
  /** Attempts to connect and log in that failed: LoginFailure, ConnectionEnd, or `no-portal`. */
  readonly loginFailures: Counts;
  /** NBD clients that have gone, by NbdEnd. */
  readonly clientEnds: Counts;
  /** NBD clients that broke the protocol or a limit. */
  readonly clientsDropped: number;
  /** Times that a client had to wait for a slot, a buffer or a limit. */
  readonly stalls: number;
  /** Bytes copied because a request did not fit where its first bytes had landed. */
  readonly bytesMoved: number;
  /** What the iSCSI session counts of its commands. */
  readonly commands: Counts;
  /** How long requests took, where it was asked for. */
  readonly latencies?: LatencySnapshots;
}

export interface RegistrationReport {
  readonly device: string;
  readonly strategy: string;
  readonly hits: number;
  readonly misses: number;
  readonly evictions: number;
  readonly retries: number;
  readonly failures: number;
  readonly entries: number;
  readonly pinnedBytes: number;
  readonly registrationMicroseconds: number;
}

export interface LaneStatistics {
  readonly heartbeat: number;
  /** How long the question waited for the lane, in milliseconds; 0 where it did not say when it was asked. */
  readonly loopLagMs: number;
  readonly arenaBytes: number;
  readonly usedBytes: number;
  readonly peakUsedBytes: number;
  /** Times that no buffer was free. */
  readonly arenaFailures: number;
  readonly requestsInFlight: number;
  readonly requestCapacity: number;
  readonly registrations: readonly RegistrationReport[];
  readonly sessions: readonly SessionStatistics[];
}

/** Method name to [parameters, result]. */
export interface LaneMethods {
  openSession: [SessionSpec, SessionReport];
  /** Gives up the sessions of a volume that are still being opened: their `openSession` is refused. */
  cancelOpening: [{ readonly volume: string }, Record<string, never>];
  /** Serves a connected socket. `handshake` false: the kernel's end, already in the transmission phase. */
  serveSocket: [
    {
      readonly session: number;
      /** Chosen by the caller; `clientEnded` bears it. */
      readonly client: number;
      readonly fd: number;
      readonly handshake: boolean;
      readonly exportName: string;
    },
    Record<string, never>,
  ];
  /**
   * Stops taking requests from every client of the session and waits for what is in flight. With `keepSockets` a socket of the kernel's
   * outlives its client: a copy of the descriptor, the caller's to close, for each that has been left at a request boundary.
   */
  drainSession: [
    { readonly session: number; readonly timeoutMs: number; readonly keepSockets: boolean },
    {
      readonly drained: boolean;
      readonly sockets: readonly { readonly client: number; readonly fd: number }[];
    },
  ];
  /** Has the session look at its logical unit again; `geometryChanged` follows if it has changed. */
  inspectSession: [{ readonly session: number }, Record<string, never>];
  /** Ends the session's I/O with errors, for good; clients stay connected. */
  failSession: [{ readonly session: number }, Record<string, never>];
  /** Closes clients, logs out, forgets the session. */
  closeSession: [{ readonly session: number }, Record<string, never>];
  /** What an NBD client may cost that comes from now on. */
  limitClients: [Partial<NbdLimits>, Record<string, never>];
  /** `askedAtMs`: on the clock of `monotonicMs`. */
  statistics: [{ readonly latencies?: boolean; readonly askedAtMs?: number }, LaneStatistics];
  close: [Record<string, never>, Record<string, never>];
}

export type LaneMethod = keyof LaneMethods;

export type LaneRequest = {
  [M in LaneMethod]: {
    readonly sequence: number;
    readonly method: M;
    readonly parameters: LaneMethods[M][0];
  };
}[LaneMethod];

export interface LaneFailure {
  readonly name: string;
  readonly code: string;
  readonly message: string;
}

export type LaneReply =
  | { readonly sequence: number; readonly result: LaneMethods[LaneMethod][1] }
  | { readonly sequence: number; readonly failure: LaneFailure };

/** Things that happen without being asked for. */
export type LaneEvent =
  | {
      readonly event: 'log';
      readonly level: 'error' | 'warn' | 'info' | 'debug';
      readonly message: string;
      readonly fields: Readonly<Record<string, string | number>>;
      /** Lanes that find the same say it once. */
      readonly once?: boolean;
    }
  | {
      readonly event: 'clientEnded';
      readonly session: number;
      readonly client: number;
      readonly handshake: boolean;
      /** It broke the protocol or a limit. */
      readonly dropped: boolean;
      readonly reason: string;
    }
  | {
      /** The session has another state, or something has happened to it; for people. */
      readonly event: 'sessionChanged';
      readonly volume: string;
      /** Of the volume's sessions. */
      readonly index: number;
      readonly change: string;
      readonly reason?: string;
    }
  | {
      /** The logical unit has changed, and is served like this now. */
      readonly event: 'geometryChanged';
      readonly volume: string;
      readonly session: number;
      readonly geometry: BlockGeometry;
    }
  | {
      /** The session has ended by itself, for good: its I/O gets errors from now on. */
      readonly event: 'sessionFailed';
      readonly volume: string;
      readonly session: number;
      readonly message: string;
    };

export type LaneMessage = LaneReply | LaneEvent;
