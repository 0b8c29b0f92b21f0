import type { Timers } from './timers.ts';

/** Who does things in batches. */
export interface BatchSource {
  /** The part of a batch that is going on, a number that differs from that of its neighbours; 0: none. */
  readonly turn: number;
}

/** The time for those who need it for every request: asked for at most once in each part of a batch. */
export class BatchClock {
  /** Milliseconds, one number, as of the last `update`. In an array, because a number with a fraction is allocated when it is returned. */
  readonly nowMs = new Float64Array(1);
  readonly #source: BatchSource;
  readonly #timers: Timers;
  #turn = 0;

  constructor(source: BatchSource, timers: Timers) {
    this.#source = source;
    this.#timers = timers;
  }

  update(): void {
    const { turn } = this.#source;
    if (turn !== 0 && turn === this.#turn) return;
    this.#turn = turn;
    this.nowMs[0] = this.#timers.now();
  }
}
