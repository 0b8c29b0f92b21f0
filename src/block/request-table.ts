import { assert } from '../errors.ts';

/**
 * Block requests as preallocated columns, shared by the front ends (NBD today) and the translator of one lane. A slot is owned
 * by whoever allocated it until `submit`, by the device until `onRequestDone`, then by its owner again, who frees it.
 */
export const BlockOperation = {
  read: 0,
  write: 1,
  flush: 2,
  trim: 3,
  writeZeroes: 4,
  blockStatus: 5,
  cache: 6,
} as const;
export type BlockOperation = (typeof BlockOperation)[keyof typeof BlockOperation];

export const BlockFlag = {
  /** On stable storage before completion. */
  forceUnitAccess: 1,
  /** writeZeroes: blocks must stay allocated. */
  noHole: 2,
  /** writeZeroes: fail with notSupported at once unless faster than writing. */
  fastZero: 4,
  /** blockStatus: one extent is enough. */
  requestOne: 8,
} as const;

/** Outcome of a request. */
export const BlockError = {
  none: 0,
  /** Medium or hardware error, or the deadline passed. */
  ioError: 1,
  /** Write protected. */
  notPermitted: 2,
  invalid: 3,
  noSpace: 4,
  notSupported: 5,
  shuttingDown: 6,
} as const;
export type BlockError = (typeof BlockError)[keyof typeof BlockError];

export interface RequestOwner {
  /** The request has ended: `table.error[request]` says how. Never called from within submit. */
  onRequestDone(request: number): void;
}

/** Somebody who found the table full. */
export interface RequestSlotWaiter {
  /** A slot is free: try again (and add yourself again if it was gone). */
  onRequestSlotFree(): void;
}

export class RequestTable {
  readonly capacity: number;
  readonly operation: Uint8Array;
  readonly flags: Uint8Array;
  /** Bytes from the start of the device; exact below 2^53. */
  readonly offset: Float64Array;
  /** Bytes. */
  readonly length: Float64Array;
  /** Arena offset of the payload (read: where it goes; write: where it is). */
  readonly bufferOffset: Uint32Array;
  readonly error: Uint8Array;
  /** The front end's own columns. */
  readonly cookieHigh: Uint32Array;
  readonly cookieLow: Uint32Array;
  /** When the front end received it. */
  readonly receivedMs: Float64Array;
  /** Buffer (BufferPool name) to release when the request is freed, or -1. */
  readonly buffer: Float64Array;
  readonly owner: (RequestOwner | undefined)[];
  readonly #free: Int32Array;
  #freeCount: number;
  /** Front ends that wait for a slot, longest first; empty unless the table is too small for the load. */
  readonly #waiters: RequestSlotWaiter[] = [];

  constructor(capacity: number) {
    this.capacity = capacity;
    this.operation = new Uint8Array(capacity);
    this.flags = new Uint8Array(capacity);
    this.offset = new Float64Array(capacity);
    this.length = new Float64Array(capacity);
    this.bufferOffset = new Uint32Array(capacity);
    this.error = new Uint8Array(capacity);
    this.cookieHigh = new Uint32Array(capacity);
    this.cookieLow = new Uint32Array(capacity);
    this.receivedMs = new Float64Array(capacity);
    this.buffer = new Float64Array(capacity).fill(-1);
    this.owner = new Array<RequestOwner | undefined>(capacity).fill(undefined);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  get inFlight(): number {
    return this.capacity - this.#freeCount;
  }

  /** A slot for this owner, or -1 when all are in use. */
  allocate(owner: RequestOwner): number {
    if (this.#freeCount === 0) return -1;
    const request = this.#free[--this.#freeCount];
    this.owner[request] = owner;
    this.error[request] = BlockError.none;
    this.flags[request] = 0;
    this.buffer[request] = -1;
    return request;
  }

  free(request: number): void {
    assert(this.owner[request] !== undefined, 'request freed twice');
    this.owner[request] = undefined;
    this.#free[this.#freeCount++] = request;
    while (this.#waiters.length > 0 && this.#freeCount > 0) {
      this.#waiters.shift()?.onRequestSlotFree();
    }
  }

  /** Calls `waiter` once when a slot has become free, from within `free`. Added once until then. */
  addWaiter(waiter: RequestSlotWaiter): void {
    this.#waiters.push(waiter);
  }

  /** Ends a request: tells its owner. */
  complete(request: number, error: BlockError): void {
    this.error[request] = error;
    this.owner[request]?.onRequestDone(request);
  }
}
