import type { DaemonEvent } from './control/event-schema.ts';

type WithoutTime<Event> = Event extends unknown ? Omit<Event, 'time'> : never;
/** What whoever tells an event has to say. */
export type EventReport = WithoutTime<DaemonEvent>;
export type Tell = (report: EventReport) => void;

/** Passes on what happens to whoever listens, in order. Nothing is kept: who comes later has missed it. */
export class EventHub {
  readonly #listeners = new Set<(event: DaemonEvent) => void>();
  readonly #now: () => Date;

  constructor(now = () => new Date()) {
    this.#now = now;
  }

  readonly tell: Tell = (report) => {
    const event = { ...report, time: this.#now().toISOString() };
    for (const listener of [...this.#listeners]) listener(event);
  };

  /** Returns what ends the subscription. */
  subscribe(listener: (event: DaemonEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}
