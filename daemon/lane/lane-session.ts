/** One session on a lane: the iSCSI session, the block device on it, and the NBD clients it serves. */
import { isDeepStrictEqual } from 'node:util';
import { assert } from '../../src/errors.ts';
import { probeLogicalUnit, type ProbeOptions } from '../../src/block/probe.ts';
import type { LogicalUnitProfile } from '../../src/block/profile.ts';
import { ScsiBlockDevice } from '../../src/block/translator.ts';
import type { SessionEvent } from '../../src/iscsi/session-options.ts';
import { SessionEnd } from '../../src/iscsi/session-state.ts';
import { Session } from '../../src/iscsi/session.ts';
import { systemTimers } from '../../src/timers.ts';
import { NbdConnection } from '../../src/nbd/connection.ts';
import { nbdCounterCount } from '../../src/nbd/counters.ts';
import { ruleEnds } from '../../src/nbd/end.ts';
import { RequestLatencies } from '../../src/nbd/latencies.ts';
import type { VolumeShare } from '../../src/nbd/share.ts';
import { AttentionResponse } from '../../src/scsi/unit-attention.ts';
import type { Portal } from '../../src/transport/transport.ts';
import { iserCapabilities } from '../../src/transport/iser/iser-transport.ts';
import { tcpCapabilities } from '../../src/transport/tcp/tcp-transport.ts';
import { ConnectionEnd } from '../../src/transport/transport.ts';
import type { LaneMemory } from './lane-memory.ts';
import type {
  LaneEvent,
  LaneMethods,
  SessionReport,
  SessionSpec,
  SessionStatistics,
} from './messages.ts';
import { describeProfile } from './describe-profile.ts';
import { RepeatFilter } from '../repeat-filter.ts';
import { SessionCounts } from './session-counts.ts';
import { KeptSockets } from './kept-sockets.ts';
import { resolveHost } from './resolve-host.ts';
import { loginTemplate, sessionTimeouts, transportFactory } from './session-settings.ts';
import { UnitWatch } from './unit-watch.ts';

/** SCSI commands that a session may have with its target at once. */
const taskCapacity = 256;
/** SCSI commands of one block request at once: a 32 MiB request must not starve the others. */
const tasksPerRequest = 16;
/** Commands that may format, unmap or flush take longer than reads and writes. */
const slowCommandFactor = 4;

const probing: ProbeOptions = {
  delay: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  readyAttempts: 20,
  readyPauseMs: 500,
};

interface LogLine {
  readonly level: 'warn' | 'info' | 'debug';
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number>>;
}

interface Client {
  readonly connection: NbdConnection;
  readonly fd: number;
  readonly handshake: boolean;
}

export class LaneSession {
  readonly id: number;
  readonly #spec: SessionSpec;
  readonly #memory: LaneMemory;
  readonly #emit: (event: LaneEvent) => void;
  readonly #session: Session;
  /** Shared by all clients, so that what a gone client did still counts. */
  readonly #counters = new Float64Array(nbdCounterCount);
  readonly #latencies: RequestLatencies;
  readonly #counts = new SessionCounts();
  readonly #clients = new Map<number, Client>();
  readonly #repeats = new RepeatFilter<LogLine>(
    systemTimers,
    ({ level, message, fields }, repeats, seconds) => {
      this.#say(level, `${message}: repeated ${repeats} times in ${seconds} s`, fields);
    },
  );
  readonly #watch: UnitWatch;
  #device: ScsiBlockDevice | undefined;
  /** As long as there is a device. */
  #share: VolumeShare | undefined;
  #onClientsGone: (() => void) | undefined;
  /** Set while a drain keeps sockets. */
  #keptSockets: KeptSockets | undefined;

  constructor(id: number, spec: SessionSpec, memory: LaneMemory, emit: (event: LaneEvent) => void) {
    this.id = id;
    this.#spec = spec;
    this.#memory = memory;
    this.#emit = emit;
    this.#latencies = new RequestLatencies(memory.clock);
    this.#session = new Session({
      createTransport: transportFactory(spec.transport, memory),
      arena: memory.reactor.arena,
      pool: memory.sessionPool,
      timers: systemTimers,
      random: Math.random,
      portals: spec.portals,
      resolve: resolveHost,
      login: loginTemplate(spec),
      isid: spec.isid,
      lun: spec.lun,
      taskCapacity,
      timeouts: sessionTimeouts(spec),
      onEvent: (event) => {
        this.#counts.onSessionEvent(event);
        this.#log(event);
        this.#tell(event);
        if (event.kind === 'closed') this.#onSessionClosed(event.end);
        else if (event.kind === 'unit-attention' && event.response === AttentionResponse.inspect) {
          this.#watch.noteChange();
        }
      },
      onIdentityCheck: () => this.#watch.check(),
    });
    this.#watch = new UnitWatch({
      session: this.#session,
      timers: systemTimers,
      probe: () => probeLogicalUnit(this.#session, probing),
      onChanged: (profile) => {
        this.#onUnitChanged(profile);
      },
      say: (level, message, fields) => {
        this.#say(level, message, fields);
      },
    });
  }

  /** Logs in and finds out what the logical unit is. Rejects with a coded error when that is not possible. */
  async open(): Promise<SessionReport> {
    try {
      await this.#session.start();
      const { profile, oddities } = await probeLogicalUnit(this.#session, probing);
      for (const oddity of oddities) this.#say('debug', oddity);
      this.#device = this.#createDevice(profile);
      this.#share = this.#memory.shares.open();
      this.#memory.reactor.addBatchEndListener(this.#device.flush);
      this.#watch.begin(profile);
      return {
        session: this.id,
        geometry: this.#device.geometry,
        identity: profile.identity.name,
        vendor: profile.vendor,
        product: profile.product,
        revision: profile.revision,
        features: describeProfile(profile),
        keys: Object.fromEntries(this.#session.login?.keys ?? []),
      };
    } catch (error) {
      await this.#session.close();
      this.#repeats.close();
      throw error;
    }
  }

  /** True for a session of the volume whose `open` has not ended. */
  isOpeningFor(volume: string): boolean {
    return this.#spec.volume === volume && this.#device === undefined;
  }

  /** Once the session is open. */
  get blockDevice(): ScsiBlockDevice {
    assert(this.#device !== undefined, 'the session is open');
    return this.#device;
  }

  /** Serves a connected socket, which becomes this session's to close. */
  serve(client: Omit<LaneMethods['serveSocket'][0], 'session'>): void {
    const { client: id, fd, handshake, exportName } = client;
    const device = this.blockDevice;
    const description = `${this.#spec.targetName} LUN ${this.#spec.lun}`;
    const nbdExport = { name: exportName, description, device };
    const connection = new NbdConnection(fd, {
      reactor: this.#memory.reactor,
      pool: this.#memory.pool,
      timers: systemTimers,
      counters: this.#counters,
      latencies: this.#latencies,
      limits: this.#memory.clientLimits,
      share: this.#share,
      serve: handshake
        ? {
            exports: {
              find: (name) => (name === exportName ? nbdExport : undefined),
              list: () => [nbdExport],
            },
          }
        : { device },
      events: {
        onClosed: (_connection, end, detail) => {
          this.#clients.delete(id);
          this.#counts.onClientEnd(end);
          this.#keptSockets?.onClosed(id, end);
          const reason = detail === '' ? end : `${end}: ${detail}`;
          const dropped = ruleEnds.has(end);
          const { id: session } = this;
          this.#emit({ event: 'clientEnded', session, client: id, handshake, dropped, reason });
          if (this.#clients.size === 0) this.#onClientsGone?.();
        },
      },
    });
    this.#clients.set(id, { connection, fd, handshake });
    connection.start();
  }

  /** Has the logical unit looked at again, before anything else is sent to it. */
  inspect(): void {
    this.#session.inspect();
  }

  /** Another session of the volume has met another logical unit: whatever this one has, and gets, ends with an error. */
  fail(): void {
    this.#session.abandon();
  }

  /**
   * Resolves when every client has had its answers, or after the time limit: those left are cut off then. What is kept is in the
   * description of `drainSession`.
   */
  async drain({
    timeoutMs,
    keepSockets,
  }: Omit<LaneMethods['drainSession'][0], 'session'>): Promise<LaneMethods['drainSession'][1]> {
    const kept = new KeptSockets();
    if (keepSockets) {
      this.#keptSockets = kept;
      for (const [id, { fd, handshake }] of this.#clients) if (!handshake) kept.add(id, fd);
    }
    const drained = await this.#drainClients(timeoutMs);
    return { drained, sockets: kept.sockets };
  }

  async #drainClients(timeoutMs: number): Promise<boolean> {
    for (const { connection } of [...this.#clients.values()]) connection.drain();
    if (this.#clients.size === 0) return true;
    const drained = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => {
        resolve(false);
      }, timeoutMs);
      this.#onClientsGone = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
    for (const { connection } of [...this.#clients.values()]) connection.close('drain timeout');
    return drained;
  }

  /** Cuts clients off, logs out. What the session still has ends with an error before this resolves. */
  async close(): Promise<void> {
    for (const { connection } of [...this.#clients.values()]) connection.close('session closed');
    this.#watch.close();
    await this.#session.close();
    this.#repeats.close();
    if (this.#device !== undefined) {
      this.#memory.reactor.removeBatchEndListener(this.#device.flush);
      this.#device.flush();
      this.#device.close();
      this.#share?.close();
      this.#share = undefined;
    }
  }

  /** @param latencies whether to say how long requests took */
  statistics(latencies: boolean): SessionStatistics {
    const { read, write, flush, other } = this.#latencies.histograms;
    return {
      session: this.id,
      volume: this.#spec.volume,
      state: this.#session.state,
      transport: this.#spec.transport,
      portal: formatPortal(this.#session.portal),
      clients: this.#clients.size,
      inFlight: this.#device?.inFlight ?? 0,
      commandFailures: this.#device?.statistics.failures.byCause ?? {},
      ...this.#counts.statistics(this.#counters, this.#session.statistics),
      ...(latencies && {
        latencies: {
          read: read.snapshot(),
          write: write.snapshot(),
          flush: flush.snapshot(),
          other: other.snapshot(),
        },
      }),
    };
  }

  #createDevice(profile: LogicalUnitProfile): ScsiBlockDevice {
    const { reactor, sessionPool: pool, requests, zeroes } = this.#memory;
    const spec = this.#spec;
    const capabilities = spec.transport === 'iser' ? iserCapabilities : tcpCapabilities;
    return new ScsiBlockDevice({
      session: this.#session,
      requests,
      profile,
      readOnly: spec.readOnly,
      arena: reactor.arena,
      pool,
      zeroes,
      timers: systemTimers,
      maxTransferLength: capabilities.maxTransferLength,
      window: tasksPerRequest,
      replacementTimeoutMs: spec.replacementTimeoutMs,
      commandTimeoutMs: spec.commandTimeoutMs,
      slowCommandTimeoutMs: spec.commandTimeoutMs * slowCommandFactor,
    });
  }

  /** Nothing is waiting to be sent while this happens, and what is in flight goes on as it was planned. */
  #onUnitChanged(profile: LogicalUnitProfile): void {
    const device = this.#device;
    if (device === undefined) return;
    const before = device.geometry;
    device.replaceProfile(profile);
    const { geometry } = device;
    if (!isDeepStrictEqual(before, geometry)) {
      const { volume } = this.#spec;
      this.#emit({ event: 'geometryChanged', volume, session: this.id, geometry });
    }
  }

  /** A session that has served ends by itself only for a reason that will not pass. */
  #onSessionClosed(end: SessionEnd): void {
    if (end === SessionEnd.requested || this.#device === undefined) return;
    const message = this.#watch.failure ?? `the session has ended: ${end}`;
    const { volume } = this.#spec;
    this.#emit({ event: 'sessionFailed', volume, session: this.id, message });
  }

  #log(event: SessionEvent): void {
    const { kind, ...fields } = event;
    const level = levelOf(event);
    const flat: Record<string, string | number> = {};
    for (const [key, value] of Object.entries<Loggable>(fields)) {
      flat[key] = shown(value);
    }
    const line = { level, message: kind.replaceAll('-', ' '), fields: flat };
    // A target can bring about any number of these: they must not cross threads one by one.
    const what = event.kind === 'state' ? `state ${event.from} ${event.to}` : kind;
    if (this.#repeats.admits(what, line)) this.#say(level, line.message, flat);
  }

  /** What people follow; the log has the rest as well. */
  #tell(event: SessionEvent): void {
    if (!followedEvents.has(event.kind)) return;
    const { volume, index = 0 } = this.#spec;
    const { kind, ...fields } = event;
    if (event.kind === 'state') {
      this.#emit({ event: 'sessionChanged', volume, index, change: event.to });
      return;
    }
    const reason = Object.entries<Loggable>(fields)
      .map(([key, value]) => `${key}=${shown(value)}`)
      .join(' ');
    this.#emit({ event: 'sessionChanged', volume, index, change: kind, reason });
  }

  #say(
    level: 'error' | 'warn' | 'info' | 'debug',
    message: string,
    fields: Readonly<Record<string, string | number>> = {},
  ): void {
    this.#emit({
      event: 'log',
      level,
      message,
      fields: { volume: this.#spec.volume, session: this.id, ...fields },
    });
  }
}

const followedEvents: ReadonlySet<SessionEvent['kind']> = new Set<SessionEvent['kind']>([
  'state',
  'logged-in',
  'login-failed',
  'no-portal',
  'connection-closed',
  'reconnecting',
  'path',
  'identity-check-failed',
]);

/** What the fields of events are. */
type Loggable = string | number | boolean | Portal;

/** A field of an event for a log line. */
function shown(value: Loggable): string | number {
  if (typeof value === 'boolean') return String(value);
  return typeof value === 'object' ? formatPortal(value) : value;
}

function formatPortal({ address, port }: Portal): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function levelOf(event: SessionEvent): 'warn' | 'info' | 'debug' {
  if (event.kind === 'state') return 'debug';
  if (event.kind === 'connection-closed') {
    return event.end === ConnectionEnd.requested ? 'debug' : 'warn';
  }
  const isLoud =
    event.kind === 'unit-attention'
      ? event.response === AttentionResponse.report
      : loudEvents.has(event.kind);
  return isLoud ? 'warn' : 'info';
}

const loudEvents: ReadonlySet<SessionEvent['kind']> = new Set([
  'login-failed',
  'no-portal',
  'abort-task',
  'tasks-suspect',
  'logical-unit-reset',
  'identity-check-failed',
  'reject',
]);
