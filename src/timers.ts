/** Time as protocol engines see it: injected, so that every timeout is a table test. */
export interface Timers {
  /** Milliseconds from an arbitrary start; never goes back. */
  now(): number;
  /** Runs `callback` once after `delayMs`; the returned function cancels it (no effect when it has run). */
  schedule(delayMs: number, callback: () => void): () => void;
}

/** The process's monotonic clock and event loop. */
export const systemTimers: Timers = {
  now: () => performance.now(),
  schedule: (delayMs, callback) => {
    const timeout = setTimeout(callback, delayMs);
    return () => {
      clearTimeout(timeout);
    };
  },
};
