import { assert } from '../errors.ts';
import type { RegistrationId } from './registration.ts';

const indexBits = 16;
const indexMask = (1 << indexBits) - 1;
/** With 14 bits above the index an id is a small positive integer, which V8 keeps out of the heap. */
const generationLimit = 1 << 14;
/** Most registrations that one table can hold. */
export const maximumRegistrations = 1 << indexBits;
export const noEntry = -1;

/**
 * Registrations as columns. An entry is one region of the device; its id, which users get, is (generation << 16) | index, so
 * that an id kept beyond its region's life is recognised.
 */
export class RegistrationTable {
  readonly capacity: number;
  /** [start, end) in arena offsets. Float64: an arena may end at 2^32. */
  readonly start: Float64Array;
  readonly end: Float64Array;
  readonly access: Uint8Array;
  readonly references: Uint32Array;
  /** Registrar's region id. */
  readonly region: Float64Array;
  readonly lkey: Uint32Array;
  readonly rkey: Uint32Array;
  readonly #generation: Uint16Array;
  readonly #live: Uint8Array;
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number) {
    assert(capacity > 0 && capacity <= maximumRegistrations, 'registration table capacity');
    this.capacity = capacity;
    this.start = new Float64Array(capacity);
    this.end = new Float64Array(capacity);
    this.access = new Uint8Array(capacity);
    this.references = new Uint32Array(capacity);
    this.region = new Float64Array(capacity);
    this.lkey = new Uint32Array(capacity);
    this.rkey = new Uint32Array(capacity);
    this.#generation = new Uint16Array(capacity);
    this.#live = new Uint8Array(capacity);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  get available(): number {
    return this.#freeCount;
  }

  /** An entry for a region that was just registered, without references; or noEntry when the table is full. */
  allocate(
    start: number,
    end: number,
    access: number,
    region: { readonly id: number; readonly lkey: number; readonly rkey: number },
  ): number {
    if (this.#freeCount === 0) return noEntry;
    const entry = this.#free[--this.#freeCount];
    this.#generation[entry] = (this.#generation[entry] + 1) % generationLimit;
    this.#live[entry] = 1;
    this.start[entry] = start;
    this.end[entry] = end;
    this.access[entry] = access;
    this.references[entry] = 0;
    this.region[entry] = region.id;
    this.lkey[entry] = region.lkey;
    this.rkey[entry] = region.rkey;
    return entry;
  }

  free(entry: number): void {
    assert(this.#live[entry] === 1, 'registration freed twice');
    this.#live[entry] = 0;
    this.#free[this.#freeCount++] = entry;
  }

  isLive(entry: number): boolean {
    return this.#live[entry] === 1;
  }

  id(entry: number): RegistrationId {
    return (this.#generation[entry] << indexBits) | entry;
  }

  /** The entry of an id that somebody holds. */
  entryInUse(id: RegistrationId): number {
    const entry = id & indexMask;
    assert(
      this.#live[entry] === 1 && this.id(entry) === id && this.references[entry] > 0,
      'no such registration, or released already',
    );
    return entry;
  }
}
