/** The memory of one lane and the machines that work on it: arena, reactor, buffer pool, request table, registrations. */
import { allocateZeroBuffer, type ZeroBuffer } from '../../src/block/scratch.ts';
import { RequestTable } from '../../src/block/request-table.ts';
import { CodedError } from '../../src/errors.ts';
import { noBuffer } from '../../src/memory/buffer-pool.ts';
import { RegistrationCache } from '../../src/memory/registration-cache.ts';
import { createStrategy, registrarOf } from '../../src/memory/registration-strategies.ts';
import type { RegistrationStrategy } from '../../src/memory/registration.ts';
import { SlabPool } from '../../src/memory/slab-pool.ts';
import { openReactor, type OpenReactor } from '../../src/reactor/open.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';
import type { LaneOptions, RegistrationReport } from './messages.ts';

/** Most registrations a cache keeps. */
const registrationEntries = 4096;
/** What one WRITE of zeroes carries at most. */
const zeroBytes = 2 ** 20;
/** Of the `copy` strategy: its registered pool. */
const copyPoolBytes = 16 * 2 ** 20;
/** How often memory that nobody uses any more is given back, and how many such rounds a registration may be idle. */
const tidyIntervalMs = 10_000;
const idleRounds = 2;

interface Registrations {
  readonly device: string;
  readonly strategy: RegistrationStrategy;
}

export class LaneMemory {
  readonly reactor: Reactor;
  readonly pool: SlabPool;
  readonly requests: RequestTable;
  readonly zeroes: ZeroBuffer;
  readonly #options: LaneOptions;
  readonly #open: OpenReactor;
  /** By protection domain. */
  readonly #registrations = new Map<number, Registrations>();
  readonly #tidying: NodeJS.Timeout;

  constructor(options: LaneOptions) {
    this.#options = options;
    const { arenaBytes, hugePages, spinMicroseconds } = options;
    this.#open = openReactor({ arenaBytes, hugePages, spinMicroseconds });
    this.reactor = this.#open.reactor;
    this.pool = new SlabPool({ sizeBytes: arenaBytes });
    this.requests = new RequestTable(options.requestCapacity);
    this.#tidying = setInterval(() => {
      this.#tidy();
    }, tidyIntervalMs);
    this.#tidying.unref();
    this.zeroes = allocateZeroBuffer(this.reactor.arena, this.pool, zeroBytes);
  }

  /** The lane's registrations on a device; made at its first connection. */
  readonly strategyFor = (protectionDomain: number): RegistrationStrategy => {
    const known = this.#registrations.get(protectionDomain);
    if (known !== undefined) return known.strategy;
    const { device } = this.reactor.rdmaDeviceLimits(protectionDomain);
    const { registration, pinLimitBytes, arenaBytes } = this.#options;
    const strategy = createStrategy(registration, {
      registrar: registrarOf(this.reactor, protectionDomain),
      arena: { offset: 0, sizeBytes: arenaBytes, bytes: this.reactor.arena.bytes },
      limits: { maxBytes: pinLimitBytes, maxEntries: registrationEntries },
      ...(registration === 'copy' ? { copyRange: this.#copyRange() } : {}),
      nowMicroseconds: () => performance.now() * 1000,
    });
    this.#registrations.set(protectionDomain, { device, strategy });
    return strategy;
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
    for (const { strategy } of this.#registrations.values()) strategy.close();
    this.#open.close();
  }

  /** Pinned and touched memory follow the load down, too: registrations idle for long go, then the pages of empty segments. */
  #tidy(): void {
    for (const { strategy } of this.#registrations.values()) {
      // What stays registered for ever must keep its pages: the device would go on using the old ones.
      // (`static` is a cache as well, of one granule.)
      if (!(strategy instanceof RegistrationCache) || strategy.name !== 'cache') return;
      strategy.sweep(idleRounds);
    }
    this.pool.trim((offset, length) => {
      for (const { strategy } of this.#registrations.values()) strategy.invalidate(offset, length);
      this.#open.discard(offset, length);
    });
  }

  #copyRange(): { readonly offset: number; readonly length: number } {
    const length = Math.min(copyPoolBytes, this.#options.pinLimitBytes);
    const offset = this.pool.allocate(length);
    if (offset === noBuffer)
      throw new CodedError('no-memory', 'the arena has no room for the copy pool');
    return { offset, length };
  }
}
