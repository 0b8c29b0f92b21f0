/** The memory of one lane and the machines that work on it: arena, reactor, buffer pool, request table, registrations. */
import { BatchClock } from '../../src/batch-clock.ts';
import { allocateZeroBuffer, type ZeroBuffer } from '../../src/block/scratch.ts';
import { RequestTable } from '../../src/block/request-table.ts';
import { CodedError } from '../../src/errors.ts';
import { noBuffer } from '../../src/memory/buffer-pool.ts';
import { RegistrationCache } from '../../src/memory/registration-cache.ts';
import { createStrategy, registrarOf } from '../../src/memory/registration-strategies.ts';
import type { Registrar, RegistrationStrategy } from '../../src/memory/registration.ts';
import { SlabPool } from '../../src/memory/slab-pool.ts';
import { LaneShares } from '../../src/nbd/share.ts';
import type { NbdLimits } from '../../src/nbd/limits.ts';
import { systemTimers } from '../../src/timers.ts';
import { openReactor, type OpenReactor } from '../../src/reactor/open.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';
import { paceByDepth } from './pacing.ts';
import type { LaneOptions, RegistrationReport } from './messages.ts';
import { lanePinLimit, pinnableBytes } from './pin-limit.ts';

/** Most registrations a cache keeps. */
const registrationEntries = 4096;
/** What one WRITE of zeroes carries at most. */
const zeroBytes = 2 ** 20;
/** Of the `copy` strategy: its registered pool. */
const copyPoolBytes = 16 * 2 ** 20;
/**
 * Memory that a session needs to be connected: headers, receives, login text, parameter lists. It is set apart from what requests
 * use, because requests that wait for a reconnect must not hold what the reconnect needs. Address space until it is touched.
 */
const sessionBytes = 4 * 2 ** 20;
/** Set apart besides: zeroes, and size classes that are not full. */
const sharedBytes = 8 * 2 ** 20;
/** Of that, what RDMA connections pin at most. */
const connectionPinBytes = 3 * 2 ** 20;
/** Room for the largest NBD payload and the header of the next request. */
const largestBytes = 34 * 2 ** 20;
/** The pools' segments. */
const segmentBytes = 2 ** 21;
/** How often memory that nobody uses any more is given back, and how many such rounds a registration may be idle. */
const tidyIntervalMs = 10_000;
const idleRounds = 2;

/** How long registrations outlive the last connection on their device: until the next one is there, as a rule. */
const domainIdleMs = 2000;

interface Registrations {
  readonly device: string;
  readonly strategy: RegistrationStrategy;
  /** Memory of the `copy` strategy. */
  readonly copy: CopyRange | undefined;
  /** Connections. */
  users: number;
  timer: NodeJS.Timeout | undefined;
}

interface CopyRange {
  readonly pool: SlabPool;
  readonly offset: number;
  readonly length: number;
}

/** Where to raise RLIMIT_MEMLOCK. */
const memlockHint = 'raise RLIMIT_MEMLOCK: LimitMEMLOCK=infinity in the service, or ulimit -l';

/** A line for the log of the process; `once`: it is enough that one lane says it. */
export type SayInLane = (
  level: 'warn',
  message: string,
  fields: Readonly<Record<string, string | number>>,
  once?: boolean,
) => void;

export class LaneMemory {
  readonly reactor: Reactor;
  /** For whoever needs the time of every request. */
  readonly clock: BatchClock;
  /** For requests. */
  readonly pool: SlabPool;
  /** For everything that a session must have to serve requests. */
  readonly sessionPool: SlabPool;
  readonly requests: RequestTable;
  /** How sessions divide `pool` and `requests`. */
  readonly shares: LaneShares;
  readonly zeroes: ZeroBuffer;
  /** What one NBD client may cost. */
  clientLimits: Partial<NbdLimits>;
  readonly #options: LaneOptions;
  readonly #say: SayInLane;
  readonly #open: OpenReactor;
  /** Bytes of both pools. */
  readonly #totalBytes: number;
  /** By protection domain. */
  readonly #registrations = new Map<number, Registrations>();
  readonly #tidying: NodeJS.Timeout;
  /** Registrations that the kernel has refused since the last tidying. */
  #refusals = 0;
  #pinnable: number | undefined;

  constructor(options: LaneOptions, say: SayInLane) {
    this.#options = options;
    this.#say = say;
    this.clientLimits = options.clientLimits ?? {};
    const { hugePages, spinMicroseconds, registration } = options;
    const { sessionCapacity = options.sessions } = options;
    const requestBytes = Math.ceil(options.arenaBytes / segmentBytes) * segmentBytes;
    const copyBytes = registration === 'copy' ? copyPoolBytes : 0;
    const reservedBytes = sharedBytes + copyBytes + sessionCapacity * sessionBytes;
    this.#totalBytes = requestBytes + reservedBytes;
    this.#open = openReactor({ arenaBytes: this.#totalBytes, hugePages, spinMicroseconds });
    if (hugePages && !this.#open.hugePages) {
      say('warn', 'no huge pages to be had, ordinary ones are used (vm.nr_hugepages)', {}, true);
    }
    this.reactor = this.#open.reactor;
    this.clock = new BatchClock(this.reactor, systemTimers);
    const largeBytes = Math.min(largestBytes, Math.floor(requestBytes / 2));
    this.pool = new SlabPool({ sizeBytes: requestBytes, largeBytes });
    this.sessionPool = new SlabPool({ offset: requestBytes, sizeBytes: reservedBytes });
    this.requests = new RequestTable(options.requestCapacity);
    paceByDepth(this.reactor, this.requests);
    this.shares = new LaneShares(this.pool.statistics, this.requests);
    this.#tidying = setInterval(() => {
      this.#tidy();
    }, tidyIntervalMs);
    this.#tidying.unref();
    this.zeroes = allocateZeroBuffer(this.reactor.arena, this.sessionPool, zeroBytes);
  }

  /** The lane's registrations on a device; made at its first connection. */
  readonly strategyFor = (protectionDomain: number): RegistrationStrategy => {
    const known = this.#registrations.get(protectionDomain);
    if (known !== undefined) {
      clearTimeout(known.timer);
      known.users++;
      return known.strategy;
    }
    const { device } = this.reactor.rdmaDeviceLimits(protectionDomain);
    const { registration } = this.#options;
    const pinLimitBytes = this.#pinLimit();
    const copy = registration === 'copy' ? this.#copyRange(pinLimitBytes) : undefined;
    const strategy = createStrategy(registration, {
      registrar: this.#registrar(protectionDomain),
      arena: { offset: 0, sizeBytes: this.#totalBytes, bytes: this.reactor.arena.bytes },
      limits: { maxBytes: pinLimitBytes, maxEntries: registrationEntries },
      ...(copy === undefined ? {} : { copyRange: copy }),
      nowMicroseconds: () => performance.now() * 1000,
    });
    const registrations = { device, strategy, copy, users: 1, timer: undefined };
    this.#registrations.set(protectionDomain, registrations);
    return strategy;
  };

  /**
   * A connection that `strategyFor` was asked for is gone. Memory that stays registered keeps the device open, and a device that is
   * being removed waits for that: it is let go of with the last connection, or when there has been none for a while.
   */
  readonly onDomainLeft = (protectionDomain: number, deviceRemoved: boolean): void => {
    const registrations = this.#registrations.get(protectionDomain);
    if (registrations === undefined || --registrations.users > 0) return;
    registrations.timer = setTimeout(
      () => {
        this.#registrations.delete(protectionDomain);
        registrations.strategy.close();
        registrations.copy?.pool.release(registrations.copy.offset);
      },
      deviceRemoved ? 0 : domainIdleMs,
    );
    registrations.timer.unref();
  };

  registrationReports(): RegistrationReport[] {
    return [...this.#registrations.values()].map(({ device, strategy }) => ({
      device,
      strategy: strategy.name,
      ...strategy.statistics,
    }));
  }

  /** After every session is closed: connections, then registrations, then the memory itself. */
  close(): void {
    clearInterval(this.#tidying);
    for (const { strategy, timer } of this.#registrations.values()) {
      clearTimeout(timer);
      strategy.close();
    }
    this.#open.close();
  }

  /** Pinned and touched memory follow the load down, too: registrations idle for long go, then the pages of empty segments. */
  #tidy(): void {
    if (this.#refusals > 0) {
      this.#say('warn', 'the kernel refuses to pin more memory for RDMA, requests wait for it', {
        refusals: this.#refusals,
        limit: this.#pinnableBytes(),
        hint: memlockHint,
      });
    }
    this.#refusals = 0;
    for (const { strategy } of this.#registrations.values()) {
      // With on-demand paging the kernel tells the device which pages go.
      if (strategy.name === 'odp') continue;
      // What stays registered for ever must keep its pages: the device would go on using the old ones.
      // (`static` is a cache as well, of one granule.)
      if (!(strategy instanceof RegistrationCache) || strategy.name !== 'cache') return;
      strategy.sweep(idleRounds);
    }
    for (const pool of [this.pool, this.sessionPool]) {
      pool.trim((offset, length) => {
        for (const { strategy } of this.#registrations.values())
          strategy.invalidate(offset, length);
        this.#open.discard(offset, length);
      });
    }
  }

  /** Bytes; less than configured where RLIMIT_MEMLOCK allows the process less. */
  #pinLimit(): number {
    const { pinLimitBytes, lanes, sessions } = this.#options;
    const limit = lanePinLimit({
      configuredBytes: pinLimitBytes,
      pinnableBytes: this.#pinnableBytes(),
      lanes,
      sessions,
      connectionBytes: connectionPinBytes,
    });
    if (limit < pinLimitBytes) {
      const fields = { limit, configured: pinLimitBytes, hint: memlockHint };
      this.#say('warn', 'RLIMIT_MEMLOCK lowers the pin limit of each lane', fields, true);
    }
    return limit;
  }

  #pinnableBytes(): number {
    return (this.#pinnable ??= pinnableBytes());
  }

  /** Counts what the kernel refuses; the strategies wait and ask again. */
  #registrar(protectionDomain: number): Registrar {
    const registrar = registrarOf(this.reactor, protectionDomain);
    return {
      deregister: (region) => {
        registrar.deregister(region);
      },
      register: (offset, length, access) => {
        try {
          return registrar.register(offset, length, access);
        } catch (error) {
          this.#refusals++;
          throw error;
        }
      },
    };
  }

  #copyRange(pinLimitBytes: number): CopyRange {
    const length = Math.min(copyPoolBytes, pinLimitBytes);
    for (const pool of [this.sessionPool, this.pool]) {
      const offset = pool.allocate(length);
      if (offset !== noBuffer) return { pool, offset, length };
    }
    throw new CodedError('no-memory', 'the arena has no room for the copy pool');
  }
}
