import type { Schedule } from './options.ts';
import type { PduSlots } from './pdu-slots.ts';

/** Slots freed outside of a batch are announced at the latest after this time. */
const backstopMs = 2;

/**
 * Tells the session that slots have become free after newPdu answered -1: at the end of the batch, never from within a call of
 * the session.
 */
export class WritableNotice {
  readonly #slots: PduSlots;
  readonly #schedule: Schedule;
  readonly #announce: () => void;
  #cancelBackstop: (() => void) | undefined;

  constructor(slots: PduSlots, schedule: Schedule, announce: () => void) {
    this.#slots = slots;
    this.#schedule = schedule;
    this.#announce = announce;
  }

  /** A slot has become free. */
  slotFreed(): void {
    if (!this.#slots.starved || this.#cancelBackstop !== undefined) return;
    this.#cancelBackstop = this.#schedule(backstopMs, () => {
      this.#cancelBackstop = undefined;
      this.batchEnd();
    });
  }

  batchEnd(): void {
    if (!this.#slots.starved || this.#slots.pdus.available === 0) return;
    this.stop();
    this.#slots.starved = false;
    this.#announce();
  }

  stop(): void {
    this.#cancelBackstop?.();
    this.#cancelBackstop = undefined;
  }
}
