import { assert } from '../errors.ts';
import { IdleList } from './idle-list.ts';
import { IntervalIndex } from './interval-index.ts';
import { completeAccess, RegionSource } from './region-source.ts';
import { notRegistered } from './registration.ts';
import type {
  Registrar,
  RegistrationId,
  RegistrationStatistics,
  RegistrationStrategy,
} from './registration.ts';
import { noEntry, RegistrationTable } from './registration-table.ts';

/** What a cache may keep registered. Idle regions are given up to stay within; regions in use never. */
export interface RegistrationLimits {
  readonly maxBytes: number;
  /** At most the cache's capacity. */
  readonly maxEntries: number;
}

export interface RegistrationCacheOptions {
  readonly registrar: Registrar;
  /** The range of arena offsets that may be registered; misses are never rounded out beyond it. */
  readonly arena: { readonly offset: number; readonly sizeBytes: number };
  readonly limits: RegistrationLimits;
  /** Most regions there can ever be; default limits.maxEntries, at most 65536. */
  readonly capacity?: number;
  /** A miss registers whole granules (counted from the arena's offset) when limits allow; bytes, 0 = the exact range. */
  readonly granuleBytes: number;
  /** Rights that every region gets beyond those asked for: fewer regions, less isolation from the peer. */
  readonly grantAccess?: number;
  readonly nowMicroseconds: () => number;
  readonly name?: RegistrationStrategy['name'];
}

/**
 * The pin-down cache. Memory is registered when it is first used and stays registered until it has been idle for long, a
 * limit is reached, or its memory changes owner (`invalidate`).
 *
 * An entry is *findable* (in the index; new users may share it) or *doomed* (in use, deregistered at its last release). A
 * findable entry without references is *idle*: in the idle list, first to go when room is needed. No findable entry lies within
 * another that has all its rights.
 *
 *            register          release to 0            evict, invalidate, superseded
 *   (none) ----------> in use ----------------> idle --------------------------------> (none)
 *                        |  ^------------------- |
 *                        |        acquire        '
 *                        | invalidate, superseded            release to 0
 *                        '------------------------> doomed ---------------> (none)
 */
export class RegistrationCache implements RegistrationStrategy {
  readonly name: RegistrationStrategy['name'];
  readonly #regions: RegionSource;
  readonly #arenaStart: number;
  readonly #arenaEnd: number;
  readonly #granuleBytes: number;
  readonly #grantAccess: number;
  readonly #table: RegistrationTable;
  readonly #index: IntervalIndex;
  readonly #idle: IdleList;
  readonly #doomed: Uint8Array;
  /** Sweep count at which the entry became idle. */
  readonly #idleSince: Float64Array;
  readonly #found: Int32Array;
  #maxBytes: number;
  #maxEntries: number;
  #bytesInUse = 0;
  #entriesInUse = 0;
  #sweeps = 0;
  #closed = false;

  constructor(options: RegistrationCacheOptions) {
    const capacity = options.capacity ?? options.limits.maxEntries;
    this.name = options.name ?? 'cache';
    this.#regions = new RegionSource(options.registrar, options.nowMicroseconds);
    this.#arenaStart = options.arena.offset;
    this.#arenaEnd = options.arena.offset + options.arena.sizeBytes;
    this.#granuleBytes = Math.max(1, options.granuleBytes);
    this.#grantAccess = completeAccess(options.grantAccess ?? 0);
    this.#table = new RegistrationTable(capacity);
    this.#index = new IntervalIndex(this.#table);
    this.#idle = new IdleList(capacity);
    this.#doomed = new Uint8Array(capacity);
    this.#idleSince = new Float64Array(capacity);
    this.#found = new Int32Array(capacity);
    this.#maxBytes = options.limits.maxBytes;
    this.#maxEntries = options.limits.maxEntries;
    assert(this.#maxEntries > 0 && this.#maxEntries <= capacity, 'maxEntries within capacity');
  }

  get statistics(): RegistrationStatistics {
    return this.#regions.statistics;
  }

  get maximumLength(): number {
    return Math.min(this.#maxBytes, this.#arenaEnd - this.#arenaStart);
  }

  acquire(offset: number, length: number, access: number): RegistrationId {
    const end = offset + length;
    assert(!this.#closed, 'registration strategy is closed');
    assert(length > 0 && offset >= this.#arenaStart && end <= this.#arenaEnd, 'range in arena');
    const wanted = completeAccess(access);
    let entry = this.#index.find(offset, end, wanted);
    if (entry !== noEntry) {
      this.statistics.hits += 1;
    } else {
      entry = this.#miss(offset, end, wanted);
      if (entry === noEntry) return notRegistered;
    }
    if (this.#table.references[entry]++ === 0) {
      this.#idle.remove(entry);
      this.#bytesInUse += this.#lengthOf(entry);
      this.#entriesInUse += 1;
    }
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
    const entry = this.#table.entryInUse(registration);
    if (--this.#table.references[entry] > 0) return;
    this.#bytesInUse -= this.#lengthOf(entry);
    this.#entriesInUse -= 1;
    if (this.#doomed[entry] === 1) {
      this.#deregister(entry);
      return;
    }
    this.#idleSince[entry] = this.#sweeps;
    this.#idle.push(entry);
    this.#evictDownTo(this.#maxBytes, this.#maxEntries);
  }

  invalidate(offset: number, length: number): void {
    const count = this.#index.overlapping(offset, offset + length, this.#found);
    for (let i = 0; i < count; i++) this.#retire(this.#found[i]);
  }

  /** New limits, in force at once for idle regions; regions in use leave at their last release. */
  setLimits(limits: RegistrationLimits): void {
    assert(limits.maxEntries > 0 && limits.maxEntries <= this.#table.capacity, 'maxEntries');
    this.#maxBytes = limits.maxBytes;
    this.#maxEntries = limits.maxEntries;
    this.#evictDownTo(this.#maxBytes, this.#maxEntries);
  }

  /**
   * Deregisters what has been idle for `age` calls of sweep or more. Called at intervals, it lets registered memory follow
   * the load without a look at the clock per I/O.
   */
  sweep(age: number): void {
    this.#sweeps += 1;
    for (let entry = this.#idle.oldest; entry !== noEntry; entry = this.#idle.oldest) {
      if (this.#sweeps - this.#idleSince[entry] < age) return;
      this.#evictOldest();
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (let entry = 0; entry < this.#table.capacity; entry++) {
      if (this.#table.isLive(entry)) this.#deregister(entry);
    }
  }

  /** Registers whole granules if that can be had, else the exact range. */
  #miss(offset: number, end: number, wanted: number): number {
    this.statistics.misses += 1;
    assert(end - offset <= this.#maxBytes, 'range within maximumLength');
    const access = wanted | this.#grantAccess;
    const start = this.#roundDown(offset);
    const roundedEnd = Math.min(this.#roundDown(end - 1) + this.#granuleBytes, this.#arenaEnd);
    if (start < offset || roundedEnd > end) {
      const entry = this.#register(start, roundedEnd, access);
      if (entry !== noEntry) return entry;
    }
    const entry = this.#register(offset, end, access);
    if (entry === noEntry) this.statistics.failures += 1;
    return entry;
  }

  #roundDown(offset: number): number {
    return offset - ((offset - this.#arenaStart) % this.#granuleBytes);
  }

  /** A new idle entry for exactly this range; noEntry when what is in use leaves no room for it, or the kernel none. */
  #register(start: number, end: number, access: number): number {
    const length = end - start;
    if (this.#bytesInUse + length > this.#maxBytes) return noEntry;
    if (this.#entriesInUse + 1 > this.#maxEntries) return noEntry;
    this.#dropIdleWithin(start, end, access);
    this.#evictDownTo(this.#maxBytes - length, this.#maxEntries - 1);
    let region = this.#regions.register(start, length, access);
    while (region === undefined) {
      if (!this.#evictOldest()) return noEntry;
      region = this.#regions.register(start, length, access);
      if (region !== undefined) this.statistics.retries += 1;
    }
    const superseded = this.#index.contained(start, end, access, this.#found);
    for (let i = 0; i < superseded; i++) this.#retire(this.#found[i]);
    const entry = this.#table.allocate(start, end, access, region);
    assert(entry !== noEntry, 'registration table has room within maxEntries');
    this.#index.insert(entry);
    this.#idle.push(entry);
    return entry;
  }

  /** What the new region makes superfluous goes before anything useful is evicted for it. */
  #dropIdleWithin(start: number, end: number, access: number): void {
    const count = this.#index.contained(start, end, access, this.#found);
    for (let i = 0; i < count; i++) {
      if (this.#table.references[this.#found[i]] === 0) this.#retire(this.#found[i]);
    }
  }

  /** Takes a findable entry out of sight: idle ones are deregistered now, the others at their last release. */
  #retire(entry: number): void {
    this.#index.remove(entry);
    if (this.#table.references[entry] > 0) {
      this.#doomed[entry] = 1;
      return;
    }
    this.#idle.remove(entry);
    this.#deregister(entry);
  }

  #evictDownTo(maxBytes: number, maxEntries: number): void {
    const statistics = this.statistics;
    while (statistics.pinnedBytes > maxBytes || statistics.entries > maxEntries) {
      if (!this.#evictOldest()) return;
    }
  }

  #evictOldest(): boolean {
    const entry = this.#idle.oldest;
    if (entry === noEntry) return false;
    this.statistics.evictions += 1;
    this.#retire(entry);
    return true;
  }

  #deregister(entry: number): void {
    this.#doomed[entry] = 0;
    this.#table.free(entry);
    this.#regions.deregister(this.#table.region[entry], this.#lengthOf(entry));
  }

  #lengthOf(entry: number): number {
    return this.#table.end[entry] - this.#table.start[entry];
  }
}
