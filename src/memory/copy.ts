import { assert, CodedError } from '../errors.ts';
import { noBuffer } from './buffer-pool.ts';
import { completeAccess, RegionSource } from './region-source.ts';
import type { Region } from './region-source.ts';
import { notRegistered, RegistrationAccess } from './registration.ts';
import type {
  Registrar,
  RegistrationId,
  RegistrationStatistics,
  RegistrationStrategy,
} from './registration.ts';
import { RegistrationTable } from './registration-table.ts';
import { SlabPool } from './slab-pool.ts';

const payloadAccess =
  RegistrationAccess.localWrite | RegistrationAccess.remoteRead | RegistrationAccess.remoteWrite;
const defaultMaxUses = 4096;
const largestSegmentBytes = 2 * 1024 * 1024;

export interface CopyRegistrationOptions {
  readonly registrar: Registrar;
  /** All of the arena. */
  readonly bytes: Uint8Array;
  /** The arena range that serves as the pool, nobody else's: from a multiple of 512, at least 1024 long. */
  readonly poolRange: { readonly offset: number; readonly length: number };
  /** Most uses at once. */
  readonly maxUses?: number;
  readonly nowMicroseconds: () => number;
}

/**
 * A small pool, registered once; every payload is copied through it. The pinned memory is fixed and the target reaches nothing
 * but the pool; every byte is touched twice. Long-lived rings (access localWrite alone) are registered where they lie instead.
 */
export class CopyRegistration implements RegistrationStrategy {
  readonly name = 'copy';
  readonly maximumLength: number;
  readonly #regions: RegionSource;
  readonly #bytes: Uint8Array;
  readonly #pool: SlabPool;
  readonly #poolLength: number;
  readonly #poolRegion: Region;
  readonly #table: RegistrationTable;
  /** Where the device finds the range: in the pool, or noBuffer for a range registered in place. */
  readonly #pooledAt: Float64Array;
  #closed = false;

  constructor(options: CopyRegistrationOptions) {
    const { offset, length } = options.poolRange;
    const maxUses = options.maxUses ?? defaultMaxUses;
    this.#regions = new RegionSource(options.registrar, options.nowMicroseconds);
    this.#bytes = options.bytes;
    this.#pool = new SlabPool({
      offset,
      sizeBytes: length,
      segmentBytes: 2 ** Math.floor(Math.log2(Math.min(length, largestSegmentBytes))),
    });
    this.#poolLength = length;
    this.#table = new RegistrationTable(maxUses);
    this.#pooledAt = new Float64Array(maxUses);
    this.maximumLength = this.#pool.maximumLength;
    const region = this.#regions.register(offset, length, payloadAccess);
    if (region === undefined) {
      throw new CodedError(
        'registrationFailed',
        `cannot register the copy pool of ${length} bytes: raise RLIMIT_MEMLOCK or make the pool smaller`,
      );
    }
    this.#poolRegion = region;
  }

  get statistics(): RegistrationStatistics {
    return this.#regions.statistics;
  }

  acquire(offset: number, length: number, access: number): RegistrationId {
    assert(!this.#closed, 'registration strategy is closed');
    assert(length > 0 && offset >= 0 && offset + length <= this.#bytes.length, 'range in arena');
    const entry =
      access === RegistrationAccess.localWrite
        ? this.#acquireInPlace(offset, length)
        : this.#acquirePooled(offset, length, access);
    if (entry < 0) {
      this.statistics.failures += 1;
      return notRegistered;
    }
    this.#table.references[entry] = 1;
    return this.#table.id(entry);
  }

  lkey(registration: RegistrationId): number {
    return this.#table.lkey[this.#table.entryInUse(registration)];
  }

  rkey(registration: RegistrationId): number {
    return this.#table.rkey[this.#table.entryInUse(registration)];
  }

  deviceOffset(registration: RegistrationId, offset: number): number {
    const entry = this.#table.entryInUse(registration);
    const pooled = this.#pooledAt[entry];
    return pooled === noBuffer ? offset : pooled + (offset - this.#table.start[entry]);
  }

  release(registration: RegistrationId, writtenLength: number): void {
    const entry = this.#table.entryInUse(registration);
    const start = this.#table.start[entry];
    const pooled = this.#pooledAt[entry];
    assert(writtenLength <= this.#table.end[entry] - start, 'written within the range');
    this.#table.free(entry);
    if (pooled === noBuffer) {
      this.#regions.deregister(this.#table.region[entry], this.#table.end[entry] - start);
      return;
    }
    if (writtenLength > 0) this.#bytes.copyWithin(start, pooled, pooled + writtenLength);
    this.#pool.release(pooled);
  }

  /** Payload memory is never registered itself, and rings are not kept beyond their use. */
  invalidate(): void {
    return;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const table = this.#table;
    for (let entry = 0; entry < table.capacity; entry++) {
      if (!table.isLive(entry) || this.#pooledAt[entry] !== noBuffer) continue;
      this.#regions.deregister(table.region[entry], table.end[entry] - table.start[entry]);
    }
    this.#regions.deregister(this.#poolRegion.id, this.#poolLength);
  }

  #acquireInPlace(offset: number, length: number): number {
    const table = this.#table;
    this.statistics.misses += 1;
    if (table.available === 0) return notRegistered;
    const region = this.#regions.register(offset, length, RegistrationAccess.localWrite);
    if (region === undefined) return notRegistered;
    const entry = table.allocate(offset, offset + length, RegistrationAccess.localWrite, region);
    this.#pooledAt[entry] = noBuffer;
    return entry;
  }

  #acquirePooled(offset: number, length: number, access: number): number {
    const table = this.#table;
    assert(length <= this.maximumLength, 'range within maximumLength');
    const pooled = table.available > 0 ? this.#pool.allocate(length) : noBuffer;
    if (pooled === noBuffer) return notRegistered;
    this.statistics.hits += 1;
    const filledByPeer =
      (access & RegistrationAccess.remoteWrite) !== 0 &&
      (access & RegistrationAccess.remoteRead) === 0;
    if (!filledByPeer) this.#bytes.copyWithin(pooled, offset, offset + length);
    const entry = table.allocate(offset, offset + length, completeAccess(access), this.#poolRegion);
    this.#pooledAt[entry] = pooled;
    return entry;
  }
}
