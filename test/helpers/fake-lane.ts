/** A lane without a thread: answers at once, remembers what it was asked, and fails or waits as it is told. */
import type { LanePort } from '../../daemon/lane/lane-thread.ts';
import type {
  LaneEvent,
  LaneMethod,
  LaneMethods,
  SessionReport,
  SessionSpec,
} from '../../daemon/lane/messages.ts';
import { laneStatistics, sessionStatistics } from './statistics.ts';
import { diskGeometry } from './geometry.ts';

export class FakeLane implements LanePort {
  readonly index: number;
  readonly emit: (event: LaneEvent) => void;
  readonly crash: (error: Error) => void;
  /** Method names in the order of the calls. */
  readonly calls: LaneMethod[] = [];
  readonly opened: SessionSpec[] = [];
  readonly served: LaneMethods['serveSocket'][0][] = [];
  /** Asked before a session is opened; a rejection is its failure. */
  onOpen: (spec: SessionSpec) => Promise<unknown> = () => Promise.resolve();
  /** Identity of the logical units that it finds. */
  identity = 'naa.1';
  closed = false;
  /** Whether clients have their answers within the time limit of a drain. */
  drains = true;
  #rejectOpening: ((error: Error) => void)[] = [];

  constructor(index: number, emit: (event: LaneEvent) => void, crash: (error: Error) => void) {
    this.index = index;
    this.emit = emit;
    this.crash = crash;
  }

  call<M extends LaneMethod>(method: M, parameters: LaneMethods[M][0]): Promise<LaneMethods[M][1]> {
    this.calls.push(method);
    return this.#handlers[method](parameters);
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }

  readonly #handlers: {
    readonly [M in LaneMethod]: (parameters: LaneMethods[M][0]) => Promise<LaneMethods[M][1]>;
  } = {
    openSession: async (spec) => {
      const cancelled = new Promise((_, reject) => this.#rejectOpening.push(reject));
      await Promise.race([this.onOpen(spec), cancelled]);
      this.opened.push(spec);
      return this.#report(this.opened.length - 1);
    },
    cancelOpening: () => {
      for (const reject of this.#rejectOpening.splice(0)) reject(new Error('opening cancelled'));
      return Promise.resolve({});
    },
    serveSocket: (client) => {
      this.served.push(client);
      return Promise.resolve({});
    },
    drainSession: ({ keepSockets, session }) =>
      Promise.resolve({
        drained: this.drains,
        sockets: keepSockets ? this.#kernelSockets(session) : [],
      }),
    inspectSession: () => Promise.resolve({}),
    failSession: () => Promise.resolve({}),
    limitClients: () => Promise.resolve({}),
    closeSession: () => Promise.resolve({}),
    close: () => Promise.resolve({}),
    statistics: () =>
      Promise.resolve(
        laneStatistics({
          heartbeat: this.calls.length,
          sessions: this.opened.map(({ volume, transport }, session) =>
            sessionStatistics({ session, volume, transport }),
          ),
        }),
      ),
  };

  /** What a drain keeps: the sockets that were served without a handshake, while they can be drained. */
  #kernelSockets(session: number): { client: number; fd: number }[] {
    return this.drains
      ? this.served.filter((client) => !client.handshake && client.session === session)
      : [];
  }

  #report(session: number): SessionReport {
    return {
      session,
      geometry: diskGeometry(2 ** 20),
      identity: this.identity,
      vendor: 'FAKE',
      product: 'LANE',
      revision: '1',
      features: {},
      keys: {},
    };
  }
}
