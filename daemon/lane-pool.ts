import type { NbdLimits } from '../src/nbd/limits.ts';
import { LaneThread, type LaneFactory, type LanePort } from './lane/lane-thread.ts';
import type { LaneEvent, LaneOptions } from './lane/messages.ts';

/** What the configuration says of every lane. */
export type LaneSettings = Omit<LaneOptions, 'lanes' | 'sessions' | 'sessionCapacity'>;

export interface LanePoolOptions {
  readonly lane: LaneSettings;
  /** Most lanes there may be, unless one volume asks for more or all of them are full: the number of cores. */
  readonly maximumLanes: number;
  readonly onEvent: (lane: LanePort, event: LaneEvent) => void;
  /** A lane cannot go on, and with it the volumes on it. */
  readonly onCrash: (error: Error) => void;
  /** Default: a worker thread. */
  readonly createLane?: LaneFactory | undefined;
}

interface PooledLane {
  readonly port: LanePort;
  readonly capacity: number;
  sessions: number;
  /** It has answered since it was last asked whether it is alive. */
  advanced: boolean;
}

/** A lane has room for as many sessions, also when fewer are expected: address space, as long as nobody touches it. */
const roomySessions = 16;

/** The lanes of the process: made as sessions need them, kept until the end. Sessions are placed on the lane that has fewest. */
export class LanePool {
  readonly #options: LanePoolOptions;
  readonly #lanes: PooledLane[] = [];
  #clientLimits: Partial<NbdLimits> | undefined;
  /** What lanes are made for: how many there will be, and sessions that each may get. */
  #expected = { lanes: 1, sessions: 1 };
  #isClosing = false;

  constructor(options: LanePoolOptions) {
    this.#options = options;
  }

  /** So many sessions will be placed, at most `widest` of one volume. */
  expect(sessions: number, widest: number): void {
    const lanes = Math.max(1, Math.min(sessions, Math.max(widest, this.#options.maximumLanes)));
    this.#expected = { lanes, sessions: Math.max(1, Math.ceil(sessions / lanes)) };
  }

  /** A lane for each of the sessions of a volume, all different while there may be enough. */
  place(sessions: number): LanePort[] {
    const chosen: PooledLane[] = [];
    for (let i = 0; i < sessions; i++) {
      const lane = this.#choose(chosen, Math.max(sessions, this.#options.maximumLanes));
      lane.sessions++;
      chosen.push(lane);
    }
    return chosen.map(({ port }) => port);
  }

  /** These sessions are no more. */
  release(ports: readonly LanePort[]): void {
    for (const port of ports) {
      const lane = this.#lanes.find((candidate) => candidate.port === port);
      if (lane !== undefined) lane.sessions--;
    }
  }

  get ports(): readonly LanePort[] {
    return this.#lanes.map(({ port }) => port);
  }

  /** What an NBD client may cost that comes from now on. */
  async limitClients(limits: Partial<NbdLimits>): Promise<void> {
    this.#clientLimits = limits;
    await Promise.all(this.#lanes.map(({ port }) => port.call('limitClients', limits)));
  }

  /** True when each lane's loop has advanced since the last call: feeds the watchdog. The answer is one call old. */
  alive(): boolean {
    const advanced = this.#lanes.every((lane) => lane.advanced);
    for (const lane of this.#lanes) {
      lane.advanced = false;
      void lane.port
        .call('statistics', {})
        .then(() => {
          lane.advanced = true;
        })
        .catch(() => undefined);
    }
    return advanced;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await Promise.all(this.#lanes.map(({ port }) => port.close()));
  }

  #choose(chosen: readonly PooledLane[], most: number): PooledLane {
    const roomy = this.#lanes.filter(({ sessions, capacity }) => sessions < capacity);
    const fresh = roomy.filter((lane) => !chosen.includes(lane));
    const idle = fresh.find(({ sessions }) => sessions === 0);
    if (idle !== undefined) return idle;
    if (this.#lanes.length < most || roomy.length === 0) return this.#start();
    const [first, ...others] = fresh.length > 0 ? fresh : roomy;
    return others.reduce((best, lane) => (lane.sessions < best.sessions ? lane : best), first);
  }

  #start(): PooledLane {
    const { createLane, onEvent, onCrash, lane: settings } = this.#options;
    const index = this.#lanes.length;
    // What is registered or held as a whole costs memory, wanted or not.
    const isWhole = settings.registration === 'static' || settings.hugePages;
    const { sessions } = this.#expected;
    const capacity = isWhole ? sessions : Math.max(sessions, roomySessions);
    const options: LaneOptions = {
      ...settings,
      ...(this.#clientLimits === undefined ? {} : { clientLimits: this.#clientLimits }),
      lanes: Math.max(this.#expected.lanes, index + 1),
      sessions,
      sessionCapacity: capacity,
    };
    const create: LaneFactory =
      createLane ?? ((number, tell, crash) => new LaneThread(number, options, tell, crash));
    const port = create(
      index,
      (event) => {
        onEvent(port, event);
      },
      (error) => {
        if (!this.#isClosing) onCrash(error);
      },
    );
    const lane = { port, capacity, sessions: 0, advanced: true };
    this.#lanes.push(lane);
    return lane;
  }
}
