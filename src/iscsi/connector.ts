/** Between connections: waits, finds out where to go, and says so. */
import type { ConnectionClosure, NextAttempt, Recovery } from './recovery.ts';
import type { Portal } from '../transport/transport.ts';
import type { Timers } from '../timers.ts';

export interface ConnectorEvents {
  /** The pause is over: `find` is to be called. */
  onDue(): void;
  onPortal(portal: Portal): void;
  onNoPortal(error: Error): void;
}

export class Connector {
  readonly #recovery: Recovery;
  readonly #timers: Timers;
  readonly #events: ConnectorEvents;
  /** Counts searches, so that the answer to an abandoned one is recognised. */
  #search = 0;
  #cancel: (() => void) | undefined;

  constructor(recovery: Recovery, timers: Timers, events: ConnectorEvents) {
    this.#recovery = recovery;
    this.#timers = timers;
    this.#events = events;
  }

  /** Resolves the next portal. */
  find(): void {
    const search = ++this.#search;
    this.#recovery.nextPortal().then(
      (portal) => {
        if (search === this.#search) this.#events.onPortal(portal);
      },
      (error: unknown) => {
        if (search !== this.#search) return;
        this.#events.onNoPortal(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  /** `onDue` comes after a pause that depends on how the last connection went. */
  plan(closure: ConnectionClosure): NextAttempt {
    const next = this.#recovery.onClosed(closure);
    this.#cancel = this.#timers.schedule(next.delayMs, () => {
      this.#events.onDue();
    });
    return next;
  }

  /** Nothing is reported any more. */
  stop(): void {
    this.#search++;
    this.#cancel?.();
  }
}
