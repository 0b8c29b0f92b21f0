import { assert, CodedError, ConfigurationError } from '../errors.ts';
import { isUnsupported, RegionSource } from './region-source.ts';
import type { Region } from './region-source.ts';
import { RegistrationAccess } from './registration.ts';
import type {
  Registrar,
  RegistrationId,
  RegistrationStatistics,
  RegistrationStrategy,
} from './registration.ts';
import { RegistrationTable } from './registration-table.ts';

const pagedAccess =
  RegistrationAccess.localWrite |
  RegistrationAccess.remoteRead |
  RegistrationAccess.remoteWrite |
  RegistrationAccess.onDemand;

export interface OnDemandRegistrationOptions {
  readonly registrar: Registrar;
  readonly arena: { readonly offset: number; readonly sizeBytes: number };
  readonly nowMicroseconds: () => number;
}

/**
 * The whole arena in one region with all rights, whose pages the device faults in when it meets them: nothing is pinned, and the kernel
 * may take pages away, which it tells the device. The target may reach all of the arena, as with `static`; an implicit region
 * (all of the address space) would let it reach the rest of the process too, so there is none even where the device has them.
 *
 * Throws ConfigurationError `odpUnsupported` when the device cannot, CodedError `registrationFailed` when the kernel refuses.
 */
export class OnDemandRegistration implements RegistrationStrategy {
  readonly name = 'odp';
  readonly maximumLength: number;
  readonly #regions: RegionSource;
  readonly #arenaStart: number;
  readonly #arenaEnd: number;
  /** Of one entry: it counts uses, and knows ids that are none. */
  readonly #table = new RegistrationTable(1);
  readonly #entry: number;
  #closed = false;

  constructor(options: OnDemandRegistrationOptions) {
    this.#regions = new RegionSource(options.registrar, options.nowMicroseconds);
    this.#arenaStart = options.arena.offset;
    this.#arenaEnd = options.arena.offset + options.arena.sizeBytes;
    this.maximumLength = options.arena.sizeBytes;
    this.#entry = this.#table.allocate(
      this.#arenaStart,
      this.#arenaEnd,
      pagedAccess,
      this.#register(),
    );
  }

  get statistics(): RegistrationStatistics {
    return this.#regions.statistics;
  }

  acquire(offset: number, length: number): RegistrationId {
    const end = offset + length;
    assert(!this.#closed, 'registration strategy is closed');
    assert(length > 0 && offset >= this.#arenaStart && end <= this.#arenaEnd, 'range in arena');
    this.statistics.hits += 1;
    this.#table.references[this.#entry] += 1;
    return this.#table.id(this.#entry);
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
    this.#table.references[this.#table.entryInUse(registration)] -= 1;
  }

  /** Pages that go are the kernel's business, which tells the device. */
  invalidate(): void {
    return;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#table.free(this.#entry);
    this.#regions.deregister(this.#table.region[this.#entry], this.maximumLength, pagedAccess);
  }

  #register(): Region {
    this.statistics.misses += 1;
    try {
      const region = this.#regions.register(this.#arenaStart, this.maximumLength, pagedAccess);
      if (region !== undefined) return region;
    } catch (error) {
      if (!isUnsupported(error)) throw error;
      throw new ConfigurationError(
        'odpUnsupported',
        `registration "odp" is not to be had: ${error.message}`,
        { cause: error },
      );
    }
    throw new CodedError(
      'registrationFailed',
      `the kernel has no memory to register an arena of ${this.maximumLength} bytes for on-demand paging`,
    );
  }
}
