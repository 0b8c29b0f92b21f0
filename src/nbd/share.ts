import type { RequestTable } from '../block/request-table.ts';
import type { BufferPoolStatistics } from '../memory/buffer-pool.ts';

/** Somebody who was refused by its share. */
export interface ShareWaiter {
  /** Something was given back: try again (and add yourself again if it was not enough). */
  onShareFree(): void;
}

/**
 * How the volumes of one lane divide its buffers and request slots, so that one of them, whose target has stalled or whose
 * clients send and do not read, never takes the last of either from another. The first half of both is for whoever comes first; of the second
 * half every volume is sure of an equal part.
 */
export class LaneShares {
  readonly #pool: BufferPoolStatistics;
  readonly #requests: RequestTable;
  readonly #schedule: (flush: () => void) => void;
  readonly #flush: () => void;
  #volumes = 0;
  #waiters: ShareWaiter[] = [];
  #beingTold: ShareWaiter[] = [];
  #flushPending = false;

  /** @param schedule runs `flush` in a later turn; default: a microtask */
  constructor(
    pool: BufferPoolStatistics,
    requests: RequestTable,
    schedule: (flush: () => void) => void = queueMicrotask,
  ) {
    this.#pool = pool;
    this.#requests = requests;
    this.#schedule = schedule;
    this.#flush = () => {
      this.flushWaiters();
    };
  }

  /** A volume comes to the lane. */
  open(): VolumeShare {
    this.#volumes++;
    return new VolumeShare(this);
  }

  /** A volume leaves: the others' parts grow. */
  close(): void {
    this.#volumes--;
    this.onGivenBack();
  }

  /** May a volume that has `held` bytes take `length` more? One request is always let through, so that every legal one can be served. */
  admitsBytes(held: number, length: number): boolean {
    const half = this.#pool.totalBytes / 2;
    return (
      held === 0 ||
      this.#pool.usedBytes + length <= half ||
      held + length <= half / Math.max(1, this.#volumes)
    );
  }

  /** May a volume that has `held` requests at its device have one more? */
  admitsRequest(held: number): boolean {
    const half = this.#requests.capacity / 2;
    return held === 0 || this.#requests.inFlight < half || held < half / Math.max(1, this.#volumes);
  }

  /** Calls `waiter` once after something was given back. Added once until then. */
  addWaiter(waiter: ShareWaiter): void {
    this.#waiters.push(waiter);
  }

  onGivenBack(): void {
    if (this.#waiters.length === 0 || this.#flushPending) return;
    this.#flushPending = true;
    this.#schedule(this.#flush);
  }

  /** Tells everybody who waits, once each: who is refused again has added itself for the next time. */
  flushWaiters(): void {
    this.#flushPending = false;
    const told = this.#waiters;
    this.#waiters = this.#beingTold;
    this.#beingTold = told;
    for (const waiter of told) waiter.onShareFree();
    told.length = 0;
  }
}

/** One client's part in its volume's share. Without a share its own limits are all, and everything is admitted. */
export class ShareAccount {
  readonly #share: VolumeShare | undefined;
  readonly #waiter: ShareWaiter;
  /** What the share knows of. */
  #bytes = 0;
  #requests = 0;
  #waiting = false;

  /** @param onFree something may be admitted now that was refused */
  constructor(share: VolumeShare | undefined, onFree: () => void) {
    this.#share = share;
    this.#waiter = {
      onShareFree: () => {
        this.#waiting = false;
        onFree();
      },
    };
  }

  /** Tells the share what the client holds now. */
  settle(bytes: number, requests: number): void {
    if (bytes === this.#bytes && requests === this.#requests) return;
    this.#share?.change(bytes - this.#bytes, requests - this.#requests);
    this.#bytes = bytes;
    this.#requests = requests;
  }

  /** False: `onFree` will be called. */
  admitsBytes(length: number): boolean {
    return this.#share === undefined || this.#share.admitsBytes(length) || this.#wait(this.#share);
  }

  /** False: `onFree` will be called. */
  admitsRequest(): boolean {
    return this.#share === undefined || this.#share.admitsRequest() || this.#wait(this.#share);
  }

  #wait(share: VolumeShare): false {
    if (!this.#waiting) {
      this.#waiting = true;
      share.addWaiter(this.#waiter);
    }
    return false;
  }
}

/** What the clients of one volume hold on a lane, all together. */
export class VolumeShare {
  readonly #lane: LaneShares;
  /** Payload bytes: requests that are being received, are at the device or whose replies are not sent. */
  #bytes = 0;
  /** Requests at the device. */
  #requests = 0;

  constructor(lane: LaneShares) {
    this.#lane = lane;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get requests(): number {
    return this.#requests;
  }

  admitsBytes(length: number): boolean {
    return this.#lane.admitsBytes(this.#bytes, length);
  }

  admitsRequest(): boolean {
    return this.#lane.admitsRequest(this.#requests);
  }

  /** A client holds so much more, or less. */
  change(bytes: number, requests: number): void {
    this.#bytes += bytes;
    this.#requests += requests;
    if (bytes < 0 || requests < 0) this.#lane.onGivenBack();
  }

  addWaiter(waiter: ShareWaiter): void {
    this.#lane.addWaiter(waiter);
  }

  /** The volume leaves the lane. */
  close(): void {
    this.#lane.close();
  }
}
