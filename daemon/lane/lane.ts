import type { ScsiBlockDevice } from '../../src/block/translator.ts';
import { CodedError } from '../../src/errors.ts';
import { monotonicMs } from '../statistics/monotonic.ts';
import { LaneMemory } from './lane-memory.ts';
import { LaneSession } from './lane-session.ts';
import type { LaneEvent, LaneMethod, LaneMethods, LaneOptions } from './messages.ts';

type Handlers = {
  readonly [M in LaneMethod]: (parameters: LaneMethods[M][0]) => Promise<LaneMethods[M][1]>;
};

/** One lane: a reactor, its memory, the sessions placed on it. Everything in it runs on the thread that made it. */
export class Lane {
  readonly memory: LaneMemory;
  readonly #options: LaneOptions;
  readonly #emit: (event: LaneEvent) => void;
  readonly #sessions = new Map<number, LaneSession>();
  #nextSession = 0;
  #heartbeat = 0;

  constructor(options: LaneOptions, emit: (event: LaneEvent) => void) {
    this.#options = options;
    this.#emit = emit;
    this.memory = new LaneMemory(options, (level, message, fields, once = false) => {
      emit({ event: 'log', level, message, fields, once });
    });
  }

  readonly handlers: Handlers = {
    openSession: async (spec) => {
      const session = new LaneSession(this.#nextSession++, spec, this.memory, this.#emit);
      this.#sessions.set(session.id, session);
      try {
        return await session.open();
      } catch (error) {
        this.#sessions.delete(session.id);
        throw error;
      }
    },
    cancelOpening: async ({ volume }) => {
      const opening = [...this.#sessions.values()].filter((session) =>
        session.isOpeningFor(volume),
      );
      await Promise.all(opening.map((session) => session.close()));
      return {};
    },
    serveSocket: ({ session, ...client }) => {
      this.#session(session).serve(client);
      return Promise.resolve({});
    },
    drainSession: async ({ session, ...how }) => this.#session(session).drain(how),
    inspectSession: ({ session }) => {
      this.#session(session).inspect();
      return Promise.resolve({});
    },
    failSession: ({ session }) => {
      this.#session(session).fail();
      return Promise.resolve({});
    },
    closeSession: async ({ session }) => {
      await this.#session(session).close();
      this.#sessions.delete(session);
      return {};
    },
    limitClients: (limits) => {
      this.memory.clientLimits = limits;
      return Promise.resolve({});
    },
    statistics: ({ latencies = false, askedAtMs }) => {
      const { totalBytes, usedBytes, peakUsedBytes, failures } = this.memory.pool.statistics;
      return Promise.resolve({
        heartbeat: ++this.#heartbeat,
        loopLagMs: askedAtMs === undefined ? 0 : Math.max(0, monotonicMs() - askedAtMs),
        arenaBytes: Math.max(totalBytes, this.#options.arenaBytes),
        usedBytes,
        peakUsedBytes,
        arenaFailures: failures,
        requestsInFlight: this.memory.requests.inFlight,
        requestCapacity: this.memory.requests.capacity,
        registrations: this.memory.registrationReports(),
        sessions: [...this.#sessions.values()].map((session) => session.statistics(latencies)),
      });
    },
    close: async () => {
      await Promise.all([...this.#sessions.values()].map((session) => session.close()));
      this.#sessions.clear();
      this.memory.close();
      return {};
    },
  };

  /** Of an open session: for whoever runs on the lane's own thread and needs no NBD. */
  blockDevice(session: number): ScsiBlockDevice {
    return this.#session(session).blockDevice;
  }

  #session(id: number): LaneSession {
    const session = this.#sessions.get(id);
    if (session === undefined) throw new CodedError('no-session', `no session ${id} on this lane`);
    return session;
  }
}
