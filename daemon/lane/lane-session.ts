/** One session on a lane: the iSCSI session, the block device on it, and the NBD clients it serves. */
import { assert } from '../../src/errors.ts';
import { probeLogicalUnit, type ProbeOptions } from '../../src/block/probe.ts';
import type { LogicalUnitProfile } from '../../src/block/profile.ts';
import { geometryOf } from '../../src/block/profile.ts';
import { ScsiBlockDevice } from '../../src/block/translator.ts';
import type { SessionEvent } from '../../src/iscsi/session-options.ts';
import { Session } from '../../src/iscsi/session.ts';
import { systemTimers } from '../../src/timers.ts';
import { NbdConnection } from '../../src/nbd/connection.ts';
import { NbdCounter, nbdCounterCount } from '../../src/nbd/counters.ts';
import { compareIdentity, IdentityDifference } from '../../src/scsi/identity.ts';
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
import { resolveHost } from './resolve-host.ts';
import { loginTemplate, sessionTimeouts, transportFactory } from './session-settings.ts';

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

interface Client {
  readonly connection: NbdConnection;
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
  readonly #clients = new Map<number, Client>();
  #profile: LogicalUnitProfile | undefined;
  #device: ScsiBlockDevice | undefined;
  #onClientsGone: (() => void) | undefined;

  constructor(id: number, spec: SessionSpec, memory: LaneMemory, emit: (event: LaneEvent) => void) {
    this.id = id;
    this.#spec = spec;
    this.#memory = memory;
    this.#emit = emit;
    this.#session = new Session({
      createTransport: transportFactory(spec.transport, memory),
      arena: memory.reactor.arena,
      pool: memory.pool,
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
        this.#log(event);
      },
      onIdentityCheck: () => this.#isSameLogicalUnit(),
    });
  }

  /** Logs in and finds out what the logical unit is. Rejects with a coded error when that is not possible. */
  async open(): Promise<SessionReport> {
    try {
      await this.#session.start();
      const { profile, oddities } = await probeLogicalUnit(this.#session, probing);
      for (const oddity of oddities) this.#say('debug', oddity);
      this.#profile = profile;
      this.#device = this.#createDevice(profile);
      this.#memory.reactor.addBatchEndListener(this.#device.flush);
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
      throw error;
    }
  }

  /** True for a session of the volume whose `open` has not ended. */
  isOpeningFor(volume: string): boolean {
    return this.#spec.volume === volume && this.#device === undefined;
  }

  /** Serves a connected socket, which becomes this session's to close. */
  serve(client: Omit<LaneMethods['serveSocket'][0], 'session'>): void {
    const { client: id, fd, handshake, exportName } = client;
    const device = this.#device;
    assert(device !== undefined, 'the session is open');
    const description = `${this.#spec.targetName} LUN ${this.#spec.lun}`;
    const nbdExport = { name: exportName, description, device };
    const connection = new NbdConnection(fd, {
      reactor: this.#memory.reactor,
      pool: this.#memory.pool,
      timers: systemTimers,
      counters: this.#counters,
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
          const reason = detail === '' ? end : `${end}: ${detail}`;
          this.#emit({ event: 'clientEnded', session: this.id, client: id, handshake, reason });
          if (this.#clients.size === 0) this.#onClientsGone?.();
        },
      },
    });
    this.#clients.set(id, { connection, handshake });
    connection.start();
  }

  /** Resolves with true when every client has had its answers, with false after the time limit (they are cut off then). */
  async drain(timeoutMs: number): Promise<boolean> {
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
    await this.#session.close();
    if (this.#device !== undefined) {
      this.#memory.reactor.removeBatchEndListener(this.#device.flush);
      this.#device.flush();
      this.#device.close();
    }
  }

  statistics(): SessionStatistics {
    const counters = this.#counters;
    return {
      session: this.id,
      state: this.#session.state,
      transport: this.#spec.transport,
      portal: formatPortal(this.#session.portal),
      reconnects: Math.max(0, this.#session.statistics.logins - 1),
      clients: this.#clients.size,
      inFlight: this.#device?.inFlight ?? 0,
      reads: counters[NbdCounter.reads],
      writes: counters[NbdCounter.writes],
      others:
        counters[NbdCounter.flushes] +
        counters[NbdCounter.trims] +
        counters[NbdCounter.caches] +
        counters[NbdCounter.writeZeroes] +
        counters[NbdCounter.blockStatuses],
      bytesRead: counters[NbdCounter.bytesRead],
      bytesWritten: counters[NbdCounter.bytesWritten],
      errors: counters[NbdCounter.failed],
    };
  }

  #createDevice(profile: LogicalUnitProfile): ScsiBlockDevice {
    const { reactor, pool, requests, zeroes } = this.#memory;
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

  /** After a reconnect: nothing is sent again unless the same logical unit, not smaller than before, answers. */
  async #isSameLogicalUnit(): Promise<boolean> {
    const before = this.#profile;
    if (before === undefined) return true;
    const { profile } = await probeLogicalUnit(this.#session, probing);
    const difference = compareIdentity(before.identity, profile.identity);
    if (difference === IdentityDifference.none || difference === IdentityDifference.grown)
      return true;
    const { sizeBytes } = geometryOf(profile, this.#spec.readOnly);
    this.#say('error', `another logical unit answers now: ${difference}`, {
      before: before.identity.name,
      after: profile.identity.name,
      sizeBytes,
    });
    return false;
  }

  #log(event: SessionEvent): void {
    const { kind, ...fields } = event;
    const expected = event.kind === 'connection-closed' && event.end === ConnectionEnd.requested;
    const level = kind === 'state' || expected ? 'debug' : loudEvents.has(kind) ? 'warn' : 'info';
    const flat: Record<string, string | number> = {};
    for (const [key, value] of Object.entries<Loggable>(fields)) {
      flat[key] = shown(value);
    }
    this.#say(level, kind.replaceAll('-', ' '), flat);
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

const loudEvents: ReadonlySet<SessionEvent['kind']> = new Set([
  'login-failed',
  'no-portal',
  'connection-closed',
  'abort-task',
  'logical-unit-reset',
  'identity-check-failed',
  'reject',
]);
