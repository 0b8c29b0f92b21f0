import type { Timers } from '../../src/timers.ts';

/** A clock that the test moves; what falls due runs in order of time, what it schedules included. */
export class FakeTimers implements Timers {
  #now: number;
  readonly #entries = new Set<{ readonly at: number; readonly callback: () => void }>();

  constructor(now = 1000) {
    this.#now = now;
  }

  get armed(): number {
    return this.#entries.size;
  }

  now(): number {
    return this.#now;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const entry = { at: this.#now + delayMs, callback };
    this.#entries.add(entry);
    return () => {
      this.#entries.delete(entry);
    };
  }

  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      let first: { readonly at: number; readonly callback: () => void } | undefined;
      for (const entry of this.#entries) {
        if (entry.at <= end && (first === undefined || entry.at < first.at)) first = entry;
      }
      if (first === undefined) break;
      this.#entries.delete(first);
      this.#now = Math.max(this.#now, first.at);
      first.callback();
    }
    this.#now = end;
  }
}
