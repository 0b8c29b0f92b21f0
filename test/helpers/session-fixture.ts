/** A session over fake transports: one per connection attempt, all in one arena. */
import type { LoginTemplate } from '../../src/iscsi/connection-contract.ts';
import type { SessionEvent, SessionOptions } from '../../src/iscsi/session-options.ts';
import { Session } from '../../src/iscsi/session.ts';
import type { TaskOwner } from '../../src/iscsi/task-table.ts';
import { SlabPool } from '../../src/memory/slab-pool.ts';
import type { ArenaMemory } from '../../src/reactor/reactor.ts';
import type { TransportCapabilities, TransportEvents } from '../../src/transport/transport.ts';
import { FakeTimers } from './fake-timers.ts';
import { FakeTransport, tcpCapabilities } from './fake-transport.ts';
import { ScriptedTarget } from './scripted-target.ts';

export const loginTemplate: LoginTemplate = {
  initiatorName: 'iqn.2024-01.example:initiator',
  targetName: 'iqn.2024-01.example:target',
  sessionType: 'Normal',
  firstBurstLength: 65536,
  maxBurstLength: 262144,
  immediateData: true,
  initialR2t: true,
  headerDigest: 'none',
  dataDigest: 'none',
  randomBytes: (length) => new Uint8Array(length).fill(5),
};

const poolBytes = 512 * 1024;
const transportBytes = 64 * 1024;

export function makeArena(sizeBytes = 4 * 1024 * 1024): ArenaMemory {
  const buffer = new ArrayBuffer(sizeBytes);
  return { sizeBytes, bytes: new Uint8Array(buffer), view: new DataView(buffer), base: 0n };
}

/** Lets promises that are settled already run their reactions. */
export function settle(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

export type FixtureOptions = Partial<SessionOptions> & {
  readonly capabilities?: TransportCapabilities;
  readonly pduCapacity?: number;
};

export class SessionFixture implements TaskOwner {
  readonly arena = makeArena();
  readonly pool = new SlabPool({ sizeBytes: poolBytes, segmentBytes: 64 * 1024 });
  readonly timers = new FakeTimers();
  readonly transports: FakeTransport[] = [];
  readonly events: SessionEvent[] = [];
  readonly session: Session;
  /** Tasks in the order of their ends. */
  readonly done: number[] = [];
  readonly outcomes: number[] = [];
  /** `start` has failed with this. */
  startError: Error | undefined;
  started = false;
  #failNextTransport = false;

  constructor(options: FixtureOptions = {}) {
    const { capabilities = tcpCapabilities, pduCapacity = 64, ...session } = options;
    this.session = new Session({
      createTransport: (events: TransportEvents) => {
        if (this.#failNextTransport) {
          this.#failNextTransport = false;
          throw new Error('no memory for a connection');
        }
        const transport = new FakeTransport(events, {
          arena: this.arena,
          timers: this.timers,
          base: poolBytes + (this.transports.length % 32) * transportBytes,
          pduCapacity,
          capabilities,
        });
        this.transports.push(transport);
        return transport;
      },
      arena: this.arena,
      pool: this.pool,
      timers: this.timers,
      random: () => 0,
      portals: [{ host: 'a.example', port: 3260 }],
      resolve: (host) => Promise.resolve([`address of ${host}`]),
      login: loginTemplate,
      isid: Uint8Array.of(0x80, 1, 2, 3, 4, 5),
      lun: 3,
      taskCapacity: 32,
      ...session,
      onEvent: (event) => {
        this.events.push(event);
        session.onEvent?.(event);
      },
    });
  }

  get transport(): FakeTransport {
    const transport = this.transports.at(-1);
    if (transport === undefined) throw new Error('no connection was attempted');
    return transport;
  }

  failNextTransport(): void {
    this.#failNextTransport = true;
  }

  /** Begins `start` and lets the first connection be attempted. */
  async begin(): Promise<ScriptedTarget> {
    this.session.start().then(
      () => {
        this.started = true;
      },
      (error: unknown) => {
        this.startError = error as Error;
      },
    );
    await settle();
    return new ScriptedTarget(this.transport);
  }

  /** A session that is up, its target with a wide-open window. */
  async up(): Promise<ScriptedTarget> {
    const target = await this.begin();
    target.login();
    await settle();
    this.openWindow(target);
    return target;
  }

  /** The target opens its window by an unsolicited NOP-In. */
  openWindow(target: ScriptedTarget): void {
    target.nopIn();
  }

  /** Lets `milliseconds` pass and a reconnect get as far as its transport; its target. */
  async nextConnection(milliseconds = 0): Promise<ScriptedTarget> {
    const before = this.transports.length;
    this.timers.advance(milliseconds);
    await settle();
    if (this.transports.length !== before + 1) {
      throw new Error(`${this.transports.length - before} connection attempts instead of one`);
    }
    return new ScriptedTarget(this.transport);
  }

  onTaskDone(task: number): void {
    this.done.push(task);
    this.outcomes.push(this.session.tasks.outcome[task]);
  }

  /** TEST UNIT READY, or the given operation code. */
  submit(
    operationCode = 0,
    fields: { read?: number; write?: number; deadlineMs?: number } = {},
  ): number {
    const { tasks } = this.session;
    const task = tasks.allocate(this);
    tasks.cdb[task * 16] = operationCode;
    tasks.readOffset[task] = 3 * 1024 * 1024;
    tasks.readLength[task] = fields.read ?? 0;
    tasks.writeOffset[task] = 3 * 1024 * 1024;
    tasks.writeLength[task] = fields.write ?? 0;
    tasks.deadlineMs[task] = fields.deadlineMs ?? Infinity;
    this.session.submitTask(task);
    return task;
  }

  kinds(kind: SessionEvent['kind']): SessionEvent[] {
    return this.events.filter((event) => event.kind === kind);
  }
}
