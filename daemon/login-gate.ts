import { CodedError } from '../src/errors.ts';
import type { Timers } from '../src/timers.ts';

export interface LoginGateOptions {
  /** Logins at a time. */
  readonly places: number;
  /** How long a login has its place: one that takes longer waits for a target that is in trouble, and costs nothing by waiting. */
  readonly patienceMs: number;
  readonly timers: Pick<Timers, 'schedule'>;
}

/**
 * Lets so many logins begin at a time, in order: many volumes at once would overrun targets and the machine, and none would be early. A
 * dead target delays the others by no more than `patienceMs`.
 */
export class LoginGate {
  readonly #options: LoginGateOptions;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(options: LoginGateOptions) {
    this.#options = options;
  }

  /** Rejects with CodedError `login-given-up` when `signal` ends the wait. */
  async run<T>(login: () => Promise<T>, signal: AbortSignal): Promise<T> {
    await this.#enter(signal);
    let inside = true;
    const leave = (): void => {
      if (!inside) return;
      inside = false;
      const next = this.#waiting.shift();
      // The place is handed over: counted free, it could be taken by who comes before the next one goes on.
      if (next === undefined) this.#inside--;
      else next();
    };
    const cancel = this.#options.timers.schedule(this.#options.patienceMs, leave);
    try {
      return await login();
    } finally {
      cancel();
      leave();
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    const givenUp = (): Error => new CodedError('login-given-up', 'the volume was stopped');
    if (signal.aborted) throw givenUp();
    if (this.#inside < this.#options.places) {
      this.#inside++;
    } else {
      await new Promise<void>((resolve, reject) => {
        const turn = (): void => {
          signal.removeEventListener('abort', onAbort);
          resolve();
        };
        const onAbort = (): void => {
          this.#waiting.splice(this.#waiting.indexOf(turn), 1);
          reject(givenUp());
        };
        signal.addEventListener('abort', onAbort, { once: true });
        this.#waiting.push(turn);
      });
    }
  }
}
