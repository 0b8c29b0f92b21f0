import { assert } from '../errors.ts';
import { completeAccess, RegionSource } from './region-source.ts';
import { notRegistered } from './registration.ts';
import type {
  Registrar,
  RegistrationId,
  RegistrationStatistics,
  RegistrationStrategy,
} from './registration.ts';
import type { RegistrationLimits } from './registration-cache.ts';
import { RegistrationTable } from './registration-table.ts';

export interface PerIoRegistrationOptions {
  readonly registrar: Registrar;
  readonly arena: { readonly offset: number; readonly sizeBytes: number };
  readonly limits: RegistrationLimits;
  readonly nowMicroseconds: () => number;
}

/**
 * A region of exactly the right size around every use: the best isolation from the target (a late access finds no region), at
 * the price of two system calls per I/O. The base line that the other strategies are measured against.
 */
export class PerIoRegistration implements RegistrationStrategy {
  readonly name = 'per-io';
  readonly maximumLength: number;
  readonly #regions: RegionSource;
  readonly #arenaStart: number;
  readonly #arenaEnd: number;
  readonly #maxBytes: number;
  readonly #table: RegistrationTable;

  constructor(options: PerIoRegistrationOptions) {
    this.#regions = new RegionSource(options.registrar, options.nowMicroseconds);
    this.#arenaStart = options.arena.offset;
    this.#arenaEnd = options.arena.offset + options.arena.sizeBytes;
    this.#maxBytes = options.limits.maxBytes;
    this.#table = new RegistrationTable(options.limits.maxEntries);
    this.maximumLength = Math.min(options.limits.maxBytes, options.arena.sizeBytes);
  }

  get statistics(): RegistrationStatistics {
    return this.#regions.statistics;
  }

  acquire(offset: number, length: number, access: number): RegistrationId {
    assert(length > 0 && length <= this.maximumLength, 'range within maximumLength');
    assert(offset >= this.#arenaStart && offset + length <= this.#arenaEnd, 'range in arena');
    const statistics = this.statistics;
    statistics.misses += 1;
    const room = this.#table.available > 0 && statistics.pinnedBytes + length <= this.#maxBytes;
    const granted = completeAccess(access);
    const region = room ? this.#regions.register(offset, length, granted) : undefined;
    if (region === undefined) {
      statistics.failures += 1;
      return notRegistered;
    }
    const entry = this.#table.allocate(offset, offset + length, granted, region);
    this.#table.references[entry] = 1;
    return this.#table.id(entry);
  }

  lkey(registration: RegistrationId): number {
    return this.#table.lkey[this.#table.entryInUse(registration)];
  }

  rkey(registration: RegistrationId): number {
    return this.#table.rkey[this.#table.entryInUse(registration)];
  }

  deviceOffset(_registration: RegistrationId, offset: number): number {
    return offset;
  }

  release(registration: RegistrationId): void {
    this.#deregister(this.#table.entryInUse(registration));
  }

  /** Nothing is kept beyond its use. */
  invalidate(): void {
    return;
  }

  close(): void {
    for (let entry = 0; entry < this.#table.capacity; entry++) {
      if (this.#table.isLive(entry)) this.#deregister(entry);
    }
  }

  #deregister(entry: number): void {
    const table = this.#table;
    table.free(entry);
    this.#regions.deregister(table.region[entry], table.end[entry] - table.start[entry]);
  }
}
