import { assert, CodedError } from '../src/errors.ts';
import type { NbdLimits } from '../src/nbd/limits.ts';
import { LanePool, type LaneSettings } from './lane-pool.ts';
import type { LaneEvent } from './lane/messages.ts';
import type { LaneFactory, LanePort } from './lane/lane-thread.ts';
import type { Logger } from './logging.ts';
import type { Volume, VolumeSurroundings } from './volume/volume.ts';
import { StopMode } from './volume/device.ts';
import { ChangeEffect } from './volume/diff.ts';
import { VolumeSet } from './volume/set.ts';
import type { VolumeSpec } from './volume/spec.ts';

export interface SupervisorOptions {
  readonly lane: LaneSettings;
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

/** Something to be done to one volume while the others serve on. */
export type SpecChange =
  | { readonly kind: 'add'; readonly spec: VolumeSpec }
  | { readonly kind: 'remove'; readonly name: string }
  | { readonly kind: 'change'; readonly spec: VolumeSpec; readonly effect: ChangeEffect };

/** Volumes to lanes; start and stop order; changes while others serve. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #lanes: LanePool;
  /** What lanes have said that is worth saying once. */
  readonly #said = new Set<string>();
  readonly #volumes: VolumeSet;
  /** Volumes that are being changed. */
  readonly #changing = new Set<string>();
  readonly #applying = new Set<Promise<unknown>>();
  #stopping = false;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#lanes = new LanePool({
      lane: options.lane,
      maximumLanes: options.maximumLanes,
      createLane: options.createLane,
      onEvent: (lane, event) => {
        this.#onLaneEvent(lane, event);
      },
      onCrash: options.onFailure,
    });
    const { surroundings, retries, logger, onServing } = options;
    this.#volumes = new VolumeSet({ lanes: this.#lanes, surroundings, retries, logger, onServing });
  }

  get volumes(): readonly Volume[] {
    return this.#volumes.all;
  }

  volume(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  /**
   * Starts all volumes at once. Resolves with the failures of the first attempt, by volume name; volumes that started serve on,
   * and with `retries` the others are tried again.
   */
  async start(specs: readonly VolumeSpec[]): Promise<ReadonlyMap<string, Error>> {
    const sessions = specs.map((spec) => spec.sessions.length);
    this.#lanes.expect(
      sessions.reduce((sum, count) => sum + count, 0),
      Math.max(0, ...sessions),
    );
    return this.apply(
      specs.map((spec) => ({ kind: 'add', spec })),
      false,
    );
  }

  /**
   * Carries out changes, of one volume each: first whatever stops, then whatever starts, so that volumes can exchange what only one can
   * have. Resolves with the failures by name:
   * - `volume-in-use`: not done, because somebody uses the device or a socket and neither `force` nor `force_detach` is set;
   * - `volume-busy`: not done, another change of the volume is under way;
   * - `unknown-volume`, `volume-exists`: not done;
   * - another code: done, but the volume does not serve. With `retries` it is tried again. One that served before a change, and does not
   *   with it, serves again as before, if it can.
   */
  async apply(changes: readonly SpecChange[], force: boolean): Promise<ReadonlyMap<string, Error>> {
    const applied = this.#apply(changes, force);
    this.#applying.add(applied);
    try {
      return await applied;
    } finally {
      this.#applying.delete(applied);
    }
  }

  /** Stops volumes (drain, detach or leave, log out), then lanes. */
  async stop(mode?: StopMode): Promise<void> {
    this.#stopping = true;
    const stopAll = (): Promise<unknown> => {
      this.#volumes.beginEnd();
      return Promise.all(this.volumes.map((volume) => volume.stop(mode)));
    };
    await stopAll();
    // A change that was under way may have got as far as another volume.
    await Promise.all(this.#applying);
    await stopAll();
    await this.#lanes.close();
  }

  get lanes(): readonly LanePort[] {
    return this.#lanes.ports;
  }

  /** What an NBD client may cost that comes from now on. */
  limitClients(limits: Partial<NbdLimits>): Promise<void> {
    return this.#lanes.limitClients(limits);
  }

  /** True when each lane's loop has advanced since the last call: feeds the watchdog. The answer is one call old. */
  alive(): boolean {
    return this.#lanes.alive();
  }

  async #apply(
    changes: readonly SpecChange[],
    force: boolean,
  ): Promise<ReadonlyMap<string, Error>> {
    const failures = new Map<string, Error>();
    const starts = await Promise.all(
      changes.map(async (change) => {
        try {
          return await this.#begin(change, force);
        } catch (error) {
          failures.set(nameOf(change), error as Error);
          return () => Promise.resolve();
        }
      }),
    );
    await Promise.all(
      starts.map(async (start, index) => {
        try {
          await start();
        } catch (error) {
          failures.set(nameOf(changes[index]), error as Error);
        }
      }),
    );
    return failures;
  }

  /** Checks, and stops what has to be stopped. Resolves with what is left to do; the volume is `changing` until that is done. */
  async #begin(change: SpecChange, force: boolean): Promise<() => Promise<void>> {
    const name = nameOf(change);
    const volume = this.#volumes.get(name);
    this.#refuse(name, change.kind === 'add', volume !== undefined);
    this.#changing.add(name);
    const whenDone = (start: () => Promise<void>) => async (): Promise<void> => {
      try {
        await start();
      } finally {
        this.#changing.delete(name);
      }
    };
    if (change.kind === 'add') {
      return () => {
        // It may be stopped while it starts, however long that takes.
        this.#changing.delete(name);
        return this.#volumes.add(change.spec);
      };
    }
    try {
      return whenDone(await this.#stopFor(change, volume, force));
    } catch (error) {
      this.#changing.delete(name);
      throw error;
    }
  }

  #refuse(name: string, isNew: boolean, exists: boolean): void {
    if (this.#stopping) throw new CodedError('stopping', 'the daemon is stopping');
    if (this.#changing.has(name))
      throw new CodedError(
        'volume-busy',
        `another change of volume ${name} is under way: try again in a moment`,
      );
    if (isNew && exists) throw new CodedError('volume-exists', `there is a volume ${name} already`);
    if (isNew || exists) return;
    throw new CodedError(
      'unknown-volume',
      `there is no volume ${name}; "iserctl status" lists them`,
    );
  }

  async #stopFor(
    change: Exclude<SpecChange, { kind: 'add' }>,
    volume: Volume | undefined,
    force: boolean,
  ): Promise<() => Promise<void>> {
    assert(volume !== undefined, 'the volume is there');
    if (change.kind === 'change' && change.effect === ChangeEffect.live) {
      await volume.adopt(change.spec);
      return () => {
        volume.openDoors();
        return Promise.resolve();
      };
    }
    const keepsDevice = change.kind === 'change' && change.effect === ChangeEffect.login;
    if (!keepsDevice && !force && volume.spec.forceDetach !== true) await refuseInUse(volume);
    const served = volume.state === 'serving';
    const { spec: before } = volume;
    await this.#volumes.stop(before.name, keepsDevice ? StopMode.leave : StopMode.force);
    if (change.kind === 'remove') {
      this.#volumes.remove(before.name);
      return () => Promise.resolve();
    }
    return () =>
      served ? this.#volumes.replace(before, change.spec) : this.#volumes.add(change.spec);
  }

  #onLaneEvent(lane: LanePort, event: LaneEvent): void {
    const { logger, surroundings } = this.#options;
    switch (event.event) {
      case 'log':
        if (event.once === true && this.#said.has(event.message)) return;
        if (event.once === true) this.#said.add(event.message);
        logger.log(event.level, event.message, event.fields);
        return;
      case 'sessionChanged': {
        const { volume, index: session, change, reason } = event;
        surroundings.tell({ event: 'session', volume, session, change, reason });
        return;
      }
      case 'clientEnded':
        for (const volume of this.volumes)
          if (volume.ownsSession(lane, event.session)) volume.onClientEnded(event);
        return;
      case 'geometryChanged':
      case 'sessionFailed':
        this.volume(event.volume)?.onSessionEvent(lane, event);
    }
  }
}

function nameOf(change: SpecChange): string {
  return change.kind === 'remove' ? change.name : change.spec.name;
}

async function refuseInUse(volume: Volume): Promise<void> {
  const uses = (await volume.deviceUsers()).map(
    ({ path, users }) => `${path} is in use (${users.join(', ')})`,
  );
  const { clients } = volume;
  if (clients > 0) uses.push(`${clients} NBD client${clients === 1 ? ' is' : 's are'} connected`);
  if (uses.length === 0) return;
  throw new CodedError(
    'volume-in-use',
    `${uses.join('; ')}: end that first, or use --force, which gives its users I/O errors`,
  );
}
