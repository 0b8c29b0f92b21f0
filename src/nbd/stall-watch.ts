import type { Timers } from '../timers.ts';
import { NbdEnd } from './end.ts';

/** What a client is waited for with, as the watch sees it. */
export interface Progress {
  /** A completion of a sent reply is due: the client has not taken it. */
  readonly repliesDue: boolean;
  /** Changes whenever replies have been taken. */
  readonly repliesTaken: number;
  /** Part of a request has come, and the rest is being waited for. */
  readonly requestDue: boolean;
  /** Changes whenever bytes have come. */
  readonly receives: number;
}

/** How often it looks in the time that it grants. */
const looksPerPeriod = 4;

/**
 * Drops a client that holds memory and does nothing: one that does not take its replies, or has sent part of a request and not the
 * rest, without any progress for `stallMs`. An idle client holds nothing and may stay for ever; a request that waits for the
 * device, or for memory, is not the client's fault.
 */
export class StallWatch {
  readonly #timers: Timers;
  readonly #stallMs: number;
  readonly #progress: Progress;
  readonly #onStalled: (end: NbdEnd, detail: string) => void;
  readonly #look: () => void;
  #repliesTaken = 0;
  #receives = 0;
  #takingSinceMs: number;
  #receivingSinceMs: number;
  #cancel: () => void;

  constructor(
    timers: Timers,
    stallMs: number,
    progress: Progress,
    onStalled: (end: NbdEnd, detail: string) => void,
  ) {
    this.#timers = timers;
    this.#stallMs = stallMs;
    this.#progress = progress;
    this.#onStalled = onStalled;
    this.#takingSinceMs = timers.now();
    this.#receivingSinceMs = timers.now();
    this.#look = () => {
      this.#cancel = this.#arm();
      this.#check();
    };
    this.#cancel = this.#arm();
  }

  stop(): void {
    this.#cancel();
  }

  #arm(): () => void {
    return this.#timers.schedule(this.#stallMs / looksPerPeriod, this.#look);
  }

  #check(): void {
    const { repliesDue, repliesTaken, requestDue, receives } = this.#progress;
    const now = this.#timers.now();
    if (!repliesDue || repliesTaken !== this.#repliesTaken) this.#takingSinceMs = now;
    if (!requestDue || receives !== this.#receives) this.#receivingSinceMs = now;
    this.#repliesTaken = repliesTaken;
    this.#receives = receives;
    if (now - this.#takingSinceMs >= this.#stallMs) {
      this.#onStalled(NbdEnd.repliesNotTaken, `no reply taken for ${this.#stallMs} ms`);
    } else if (now - this.#receivingSinceMs >= this.#stallMs) {
      this.#onStalled(NbdEnd.requestNotCompleted, `half a request for ${this.#stallMs} ms`);
    }
  }
}
