import type { LaneEvent, LaneOptions } from './lane/messages.ts';
import { systemTimers } from '../src/timers.ts';
import { LaneThread, type LaneFactory, type LanePort } from './lane/lane-thread.ts';
import type { Logger } from './logging.ts';
import { Volume, type StopMode, type VolumeSurroundings } from './volume.ts';
import { VolumeRetry } from './volume-retry.ts';
import type { VolumeSpec } from './volume-spec.ts';

export interface SupervisorOptions {
  readonly lane: Omit<LaneOptions, 'lanes' | 'sessions'>;
  /** Most lanes there may be: the number of cores. */
  readonly maximumLanes: number;
  readonly surroundings: Omit<VolumeSurroundings, 'logger' | 'isRetried'>;
  /** Whether a volume that cannot be started is tried again until it can. */
  readonly retries: boolean;
  readonly logger: Logger;
  /** Default: a worker thread. */
  readonly createLane?: LaneFactory;
  /** A volume has begun to serve. */
  readonly onServing: (volume: Volume) => void;
  /** A lane cannot go on, and with it the volumes on it. */
  readonly onFailure: (error: Error) => void;
}

/** Volumes to lanes; start and stop order. Sessions are placed on the lane that has fewest. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #createLane: LaneFactory;
  /** Lanes that there will be, and sessions that each may get: they are spread evenly. */
  #plan = { lanes: 0, sessions: 0 };
  /** What lanes have said that is worth saying once. */
  readonly #said = new Set<string>();
  readonly #lanes: LanePort[] = [];
  readonly #volumes = new Map<string, Volume>();
  readonly #sessionsOnLane: number[] = [];
  readonly #heartbeats: number[] = [];
  readonly #retries: VolumeRetry[] = [];
  #stopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#createLane =
      options.createLane ??
      ((index, onEvent, onCrash) =>
        new LaneThread(index, { ...options.lane, ...this.#plan }, onEvent, onCrash));
  }

  get volumes(): readonly Volume[] {
    return [...this.#volumes.values()];
  }

  /**
   * Starts all volumes at once. Resolves with the failures of the first attempt, by volume name; volumes that started serve on,
   * and with `retries` the others are tried again.
   */
  async start(specs: readonly VolumeSpec[]): Promise<ReadonlyMap<string, Error>> {
    const sessions = specs.reduce((sum, spec) => sum + spec.sessions.length, 0);
    const most = Math.max(...specs.map((spec) => spec.sessions.length), this.#options.maximumLanes);
    const wanted = Math.min(sessions, most);
    this.#plan = { lanes: wanted, sessions: Math.ceil(sessions / wanted) };
    while (this.#lanes.length < wanted) this.#startLane();
    const failures = new Map<string, Error>();
    await Promise.all(
      specs.map(async (spec) => {
        const volume = new Volume(spec, this.#placeSessions(spec), {
          ...this.#options.surroundings,
          isRetried: this.#options.retries,
          logger: this.#options.logger.child({ volume: spec.name }),
        });
        this.#volumes.set(spec.name, volume);
        try {
          await volume.start();
          this.#options.onServing(volume);
        } catch (error) {
          failures.set(spec.name, error as Error);
          if (this.#options.retries && !this.#stopping) this.#retryLater(volume, error as Error);
        }
      }),
    );
    return failures;
  }

  /** Stops volumes (drain, detach or leave, log out), then lanes. */
  async stop(mode?: StopMode): Promise<void> {
    this.#stopping = true;
    for (const retry of this.#retries) retry.stop();
    await Promise.all(this.volumes.map((volume) => volume.stop(mode)));
    await Promise.all(this.#lanes.map((lane) => lane.close()));
  }

  get lanes(): readonly LanePort[] {
    return this.#lanes;
  }

  /** True when each lane's loop has advanced since the last call: feeds the watchdog. The answer is one call old. */
  alive(): boolean {
    const advanced = this.#heartbeats.every((heartbeat) => heartbeat > 0);
    this.#heartbeats.fill(0);
    this.#lanes.forEach((lane, index) => {
      void lane
        .call('statistics', {})
        .then(() => {
          this.#heartbeats[index] = 1;
        })
        .catch(() => undefined);
    });
    return advanced;
  }

  #retryLater(volume: Volume, error: Error): void {
    const { logger, onServing } = this.#options;
    const retry = new VolumeRetry({
      volume,
      timers: systemTimers,
      random: Math.random,
      onServing: () => {
        onServing(volume);
      },
      onFailure: ({ message }, pauseMs) => {
        logger.warn('volume is tried again', { volume: volume.spec.name, message, pauseMs });
      },
    });
    this.#retries.push(retry);
    retry.onFailure(error);
  }

  #startLane(): void {
    const index = this.#lanes.length;
    this.#lanes.push(
      this.#createLane(
        index,
        (event) => {
          this.#onLaneEvent(index, event);
        },
        (error) => {
          if (!this.#stopping) this.#options.onFailure(error);
        },
      ),
    );
    this.#sessionsOnLane.push(0);
    this.#heartbeats.push(1);
  }

  /** A lane for each session of the volume, all different while there are enough. */
  #placeSessions(spec: VolumeSpec): LanePort[] {
    const chosen: number[] = [];
    for (let i = 0; i < spec.sessions.length; i++) {
      let best = -1;
      for (let lane = 0; lane < this.#lanes.length; lane++) {
        if (chosen.includes(lane) && chosen.length < this.#lanes.length) continue;
        if (best === -1 || this.#sessionsOnLane[lane] < this.#sessionsOnLane[best]) best = lane;
      }
      this.#sessionsOnLane[best]++;
      chosen.push(best);
    }
    return chosen.map((lane) => this.#lanes[lane]);
  }

  #onLaneEvent(lane: number, event: LaneEvent): void {
    if (event.event === 'log') {
      if (event.once === true && this.#said.has(event.message)) return;
      if (event.once === true) this.#said.add(event.message);
      this.#options.logger.log(event.level, event.message, event.fields);
      return;
    }
    const port = this.#lanes[lane];
    if (event.event !== 'clientEnded') {
      this.#volumes.get(event.volume)?.onSessionEvent(port, event);
      return;
    }
    for (const volume of this.#volumes.values()) {
      if (volume.ownsSession(port, event.session)) volume.onClientEnded(event);
    }
  }
}
