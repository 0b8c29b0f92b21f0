import { CodedError } from '../../src/errors.ts';
import { systemTimers } from '../../src/timers.ts';
import type { LanePool } from '../lane-pool.ts';
import type { LanePort } from '../lane/lane-thread.ts';
import type { Logger } from '../logging.ts';
import { Volume, type VolumeSurroundings } from './volume.ts';
import type { StopMode } from './device.ts';
import { VolumeRetry } from './retry.ts';
import type { VolumeSpec } from './spec.ts';

export interface VolumeSetOptions {
  readonly lanes: Pick<LanePool, 'place' | 'release'>;
  readonly surroundings: Omit<VolumeSurroundings, 'logger' | 'isRetried'>;
  /** Whether a volume that cannot be started is tried again until it can. */
  readonly retries: boolean;
  readonly logger: Logger;
  /** A volume has begun to serve. */
  readonly onServing: (volume: Volume) => void;
}

interface Supervised {
  readonly volume: Volume;
  readonly lanes: readonly LanePort[];
  retry?: VolumeRetry;
}

/** The volumes of the process by name, each on its lanes; those that cannot be started are tried again. */
export class VolumeSet {
  readonly #options: VolumeSetOptions;
  readonly #volumes = new Map<string, Supervised>();
  #isEnding = false;

  constructor(options: VolumeSetOptions) {
    this.#options = options;
  }

  get all(): readonly Volume[] {
    return [...this.#volumes.values()].map(({ volume }) => volume);
  }

  get(name: string): Volume | undefined {
    return this.#volumes.get(name)?.volume;
  }

  /** Starts a volume; rejects with the failure of the first attempt. */
  async add(spec: VolumeSpec): Promise<void> {
    const supervised = this.#create(spec);
    try {
      await supervised.volume.start();
    } catch (error) {
      if (this.#volumes.get(spec.name) === supervised) this.#retryLater(supervised, error as Error);
      throw error;
    }
    this.#options.onServing(supervised.volume);
  }

  /** Starts a volume in place of one that served until now, which comes back if the new one does not serve. */
  async replace(before: VolumeSpec, after: VolumeSpec): Promise<void> {
    const changed = this.#create(after);
    try {
      await changed.volume.start();
      this.#options.onServing(changed.volume);
      return;
    } catch (error) {
      if (this.#isEnding) throw error;
      const restored = this.#create(before);
      try {
        await restored.volume.start();
      } catch {
        this.#options.lanes.release(restored.lanes);
        this.#volumes.set(after.name, changed);
        this.#retryLater(changed, error as Error);
        throw error;
      }
      this.#options.lanes.release(changed.lanes);
      this.#options.onServing(restored.volume);
      const { message } = error as Error;
      throw new CodedError('change-failed', `${message}; it serves on as before`, { cause: error });
    }
  }

  /** Stops a volume for good, or for another one in its place. */
  async stop(name: string, mode: StopMode): Promise<void> {
    const supervised = this.#volumes.get(name);
    if (supervised === undefined) return;
    supervised.retry?.stop();
    await supervised.volume.stop(mode);
    this.#options.lanes.release(supervised.lanes);
  }

  /** Forgets a volume that has been stopped. */
  remove(name: string): void {
    this.#volumes.delete(name);
  }

  /** Nothing is started any more. */
  beginEnd(): void {
    this.#isEnding = true;
    for (const { retry } of this.#volumes.values()) retry?.stop();
  }

  #create(spec: VolumeSpec): Supervised {
    if (this.#isEnding) throw new CodedError('stopping', 'the daemon is stopping');
    const lanes = this.#options.lanes.place(spec.sessions.length);
    const volume = new Volume(spec, lanes, {
      ...this.#options.surroundings,
      isRetried: this.#options.retries,
      logger: this.#options.logger.child({ volume: spec.name }),
    });
    const supervised = { volume, lanes };
    this.#volumes.set(spec.name, supervised);
    return supervised;
  }

  #retryLater(supervised: Supervised, error: Error): void {
    if (!this.#options.retries || this.#isEnding) return;
    const { logger, onServing } = this.#options;
    const { volume } = supervised;
    supervised.retry = new VolumeRetry({
      volume,
      timers: systemTimers,
      random: Math.random,
      onServing: () => {
        onServing(volume);
      },
      onFailure: ({ message: reason }, pauseMs) => {
        logger.warn('volume is tried again', { volume: volume.spec.name, reason, pauseMs });
      },
    });
    supervised.retry.onFailure(error);
  }
}
