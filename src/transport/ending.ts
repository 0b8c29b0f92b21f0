import type { Schedule } from './options.ts';
import type { ConnectionEnd } from './transport.ts';

/**
 * Why the connection ends, and the one timer that a connection has at any time. The first reason wins; `later` runs in a later
 * turn, so that onClosed never comes from within a call of the session.
 */
export class Ending {
  readonly #schedule: Schedule;
  #cancelTimer: (() => void) | undefined;
  end: ConnectionEnd | undefined;
  detail = '';

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
  }

  /** Notes the reason; false when there is one already. */
  begin(end: ConnectionEnd, detail: string): boolean {
    if (this.end !== undefined) return false;
    this.end = end;
    this.detail = detail;
    return true;
  }

  /** Replaces the timer, if one is set. */
  arm(delayMs: number, action: () => void): void {
    this.disarm();
    this.#cancelTimer = this.#schedule(delayMs, () => {
      this.#cancelTimer = undefined;
      action();
    });
  }

  disarm(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  later(action: () => void): void {
    this.arm(0, action);
  }
}
