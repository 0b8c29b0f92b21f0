/** How much a peer can make us say: what it provokes message by message is logged so often in a window, then only counted. */
const windowMs = 10_000;
const messagesPerWindow = 20;

export class LogThrottle {
  readonly #now: () => number;
  #windowEndMs = -Infinity;
  #messages = 0;
  #suppressed = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether one more may be logged. */
  admits(): boolean {
    const now = this.#now();
    if (now >= this.#windowEndMs) {
      this.#windowEndMs = now + windowMs;
      this.#messages = 0;
    }
    if (++this.#messages <= messagesPerWindow) return true;
    this.#suppressed++;
    return false;
  }

  /** How many were not logged since the last call. */
  takeSuppressed(): number {
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed;
  }
}
