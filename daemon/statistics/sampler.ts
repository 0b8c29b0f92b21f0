import type { LanePort } from '../lane/lane-thread.ts';
import type { LaneStatistics } from '../lane/messages.ts';
import type { Timers } from '../../src/timers.ts';
import { monotonicMs } from './monotonic.ts';

/** How often lanes are asked, and how many answers are kept: what `iserctl status` calls recent. */
const intervalMs = 1000;
const samplesKept = 11;

export interface LaneSample {
  /** When the lane answered, on the sampler's clock. */
  readonly atMs: number;
  readonly statistics: LaneStatistics;
}

/** What is known of a lane, whether or not it answers at the moment. */
export interface LaneView {
  readonly latest: LaneSample | undefined;
  /** Since its last answer, or since it was first asked. */
  readonly silentMs: number;
}

/** One lane's answers. Asked again only when it has answered: a lane that is stuck does not get a queue of questions. */
class SampledLane {
  readonly #port: LanePort;
  readonly #timers: Timers;
  readonly #firstAskedMs: number;
  #asking: Promise<void> | undefined;
  latest: LaneSample | undefined;
  /** Oldest first. */
  readonly kept: LaneSample[] = [];

  constructor(port: LanePort, timers: Timers) {
    this.#port = port;
    this.#timers = timers;
    this.#firstAskedMs = timers.now();
  }

  get silentMs(): number {
    return this.#timers.now() - (this.latest?.atMs ?? this.#firstAskedMs);
  }

  /** Resolves when the lane has answered, also when it never will because its thread is gone. */
  ask(): Promise<void> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  keep(): void {
    if (this.latest === undefined || this.latest === this.kept.at(-1)) return;
    this.kept.push(this.latest);
    if (this.kept.length > samplesKept) this.kept.shift();
  }

  async #ask(): Promise<void> {
    try {
      const question = { latencies: true, askedAtMs: monotonicMs() };
      const statistics = await this.#port.call('statistics', question);
      this.latest = { atMs: this.#timers.now(), statistics };
    } catch {
      // The lane's thread is gone: the supervisor hears of that by itself.
    }
  }
}

/**
 * Asks every lane once a second what it has counted, and remembers the last answers. Lanes answer between two batches; one that is stuck
 * is reported with what it said last. Start it with `start`, end it with `stop`.
 */
export class StatisticsSampler {
  readonly #lanes: () => readonly LanePort[];
  readonly #timers: Timers;
  readonly #sampled = new Map<LanePort, SampledLane>();
  #cancel: (() => void) | undefined;

  /** @param lanes all lanes that there are now */
  constructor(lanes: () => readonly LanePort[], timers: Timers) {
    this.#lanes = lanes;
    this.#timers = timers;
  }

  start(): void {
    this.#cancel = this.#timers.schedule(intervalMs, () => {
      this.start();
      for (const lane of this.#all())
        // Never rejects.
        void lane.ask().then(() => {
          lane.keep();
        });
    });
  }

  stop(): void {
    this.#cancel?.();
  }

  /** Asks all lanes now. Resolves when they have answered or the time is up. */
  async refresh(timeoutMs: number): Promise<void> {
    let cancel = (): void => undefined;
    const timeout = new Promise<void>((resolve) => {
      cancel = this.#timers.schedule(timeoutMs, resolve);
    });
    await Promise.race([Promise.all(this.#all().map((lane) => lane.ask())), timeout]);
    cancel();
  }

  /** In the order of the lanes. */
  views(): readonly LaneView[] {
    return this.#all().map(({ latest, silentMs }) => ({ latest, silentMs }));
  }

  latest(port: LanePort): LaneSample | undefined {
    return this.#of(port).latest;
  }

  /** The youngest answer that is at least so much older than the latest one, or else the oldest there is. */
  earlier(port: LanePort, seconds: number): LaneSample | undefined {
    const { latest, kept } = this.#of(port);
    if (latest === undefined) return undefined;
    // A timer is never exact: half an interval too young will do.
    const youngest = latest.atMs - seconds * 1000 + intervalMs / 2;
    return kept.findLast(({ atMs }) => atMs <= youngest) ?? kept.at(0);
  }

  #all(): SampledLane[] {
    const ports = this.#lanes();
    for (const port of this.#sampled.keys()) if (!ports.includes(port)) this.#sampled.delete(port);
    return ports.map((port) => this.#of(port));
  }

  #of(port: LanePort): SampledLane {
    let lane = this.#sampled.get(port);
    if (lane === undefined) {
      lane = new SampledLane(port, this.#timers);
      this.#sampled.set(port, lane);
    }
    return lane;
  }
}
