/** Starts a volume that could not be started again and again, with growing pauses, until it serves or is stopped. */
import type { Timers } from '../../src/timers.ts';
import type { Volume } from './volume.ts';

export interface VolumeRetryOptions {
  readonly volume: Volume;
  readonly timers: Pick<Timers, 'schedule'>;
  /** Numbers in [0, 1). */
  readonly random: () => number;
  readonly onServing: () => void;
  /** An attempt has failed; the next one comes after this pause. */
  readonly onFailure: (error: Error, pauseMs: number) => void;
}

const firstPauseMs = 1000;
const longestPauseMs = 60_000;
/** A pause is shortened by up to this part, so that many volumes do not knock at the same moment. */
const jitter = 0.25;

export class VolumeRetry {
  readonly #options: VolumeRetryOptions;
  #failures = 0;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(options: VolumeRetryOptions) {
    this.#options = options;
  }

  /** The volume could not be started: plans the next attempt. */
  onFailure(error: Error): void {
    if (this.#stopped) return;
    const { random, timers } = this.#options;
    const pauseMs = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(this.#failures++, 16));
    const jitteredMs = Math.round(pauseMs * (1 - jitter * random()));
    this.#options.onFailure(error, jitteredMs);
    this.#cancel = timers.schedule(jitteredMs, () => {
      void this.#attempt();
    });
  }

  /** No more attempts. One that is under way is ended by the volume's own `stop`. */
  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #attempt(): Promise<void> {
    const { volume, onServing } = this.#options;
    try {
      await volume.start();
    } catch (error) {
      this.onFailure(error as Error);
      return;
    }
    onServing();
  }
}
