/**
 * A lane of sessions over real transports and a fake reactor, their targets in the hands of the test: what one target does
 * can be watched from the other volumes of the lane.
 */
import { expect } from 'chai';
import { Session } from '../../src/iscsi/session.ts';
import type { SessionEvent, SessionOptions } from '../../src/iscsi/session-options.ts';
import type { TaskOwner } from '../../src/iscsi/task-table.ts';
import { SlabPool } from '../../src/memory/slab-pool.ts';
import { FakeReactor } from '../../src/reactor/fake-reactor.ts';
import { createTransport } from '../../src/transport/create.ts';
import { FakeTimers } from './fake-timers.ts';
import { TestStrategy } from './iser-fixture.ts';
import { IserWireTarget, TcpWireTarget, type WireTarget } from './scripted-wire.ts';
import { loginTemplate, settle } from './session-fixture.ts';

export type TransportName = 'tcp' | 'iser';

/** Of each volume, at the end of the arena: half for the data of all its reads, half for that of its writes. */
export const taskMemoryBytes = 64 * 1024;

export interface ScriptedLaneOptions {
  /** Default 2 MiB. */
  readonly poolBytes?: number;
  readonly volumes?: number;
  /** What the arena is full of before anything happens; default 0. */
  readonly fill?: number;
  /** One that an earlier lane of the same size has left clean; default: a new one. */
  readonly reactor?: FakeReactor;
}

type ClosedEvent = Extract<SessionEvent, { kind: 'connection-closed' }>;

const firstPort = 3260;
/** More turns than any orderly end takes. */
const closingTurns = 400;
const closingTurnMs = 1000;

export class ScriptedLane {
  readonly reactor: FakeReactor;
  readonly pool: SlabPool;
  readonly timers = new FakeTimers();
  readonly strategy: TestStrategy;
  readonly volumes: ScriptedVolume[] = [];
  readonly #poolBytes: number;

  constructor(options: ScriptedLaneOptions = {}) {
    const { poolBytes = 2 * 1024 * 1024, volumes = 2, fill = 0 } = options;
    this.#poolBytes = poolBytes;
    const arenaBytes = poolBytes + volumes * taskMemoryBytes;
    this.reactor = options.reactor ?? new FakeReactor({ arenaBytes });
    this.reactor.rdmaPeers.length = 0;
    this.reactor.arena.bytes.fill(fill, 0, poolBytes).fill(0, poolBytes);
    this.pool = new SlabPool({ sizeBytes: poolBytes, segmentBytes: 256 * 1024 });
    this.strategy = new TestStrategy(this.reactor, 1);
    this.reactor.onConnectStream = (attempt) => {
      const volume = this.volumes.at(attempt.port - firstPort);
      if (volume === undefined || volume.refusing) attempt.refuse();
      else volume.target = new TcpWireTarget(attempt.accept());
    };
    this.reactor.onRdmaOpen = (peer) => {
      peer.onConnect = () => {
        const volume = this.volumes.at(peer.port - firstPort);
        if (volume === undefined || volume.refusing) {
          peer.script.connect = { event: 8, status: 8 };
        } else volume.target = new IserWireTarget(peer);
      };
    };
  }

  volume(transport: TransportName, options: Partial<SessionOptions> = {}): ScriptedVolume {
    const index = this.volumes.length;
    const memory = this.#poolBytes + index * taskMemoryBytes;
    const volume = new ScriptedVolume(this, transport, firstPort + index, memory, options);
    this.volumes.push(volume);
    return volume;
  }

  /** Lets everything come to rest that needs no time. */
  async rest(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) {
      this.reactor.run();
      this.timers.advance(0);
      for (const { polite, target } of this.volumes) if (polite) target?.serve();
      await settle();
    }
    this.reactor.run();
  }

  /** Lets time pass, second by second, so that what it brings about is seen. */
  async pass(milliseconds: number): Promise<void> {
    for (let left = milliseconds; left > 0; left -= closingTurnMs) {
      this.timers.advance(Math.min(left, closingTurnMs));
      await this.rest();
    }
  }

  /** Closes every session, whatever its target does, and checks that nobody holds anything any more. */
  async close(): Promise<void> {
    const open = new Set(this.volumes);
    for (const volume of this.volumes) {
      volume.refusing = true;
      void volume.session.close().then(() => open.delete(volume));
    }
    await this.rest();
    for (let turn = 0; open.size > 0 && turn < closingTurns; turn++) await this.pass(closingTurnMs);
    if (open.size > 0) throw new Error('a session does not close');
    this.expectNothingLeft();
  }

  expectNothingLeft(): void {
    for (const volume of this.volumes) {
      if (volume.running.size > 0) throw new Error(`${volume.running.size} tasks have not ended`);
    }
    expect(this.reactor.violations).to.deep.equal([]);
    expect(this.reactor.leaks()).to.deep.equal([]);
    expect(this.strategy.live.size).to.equal(0);
    expect(this.pool.statistics.usedBytes).to.equal(0);
    expect(this.timers.armed).to.equal(0);
  }
}

export class ScriptedVolume implements TaskOwner {
  readonly session: Session;
  readonly transport: TransportName;
  readonly events: SessionEvent[] = [];
  /** Of the connection that was made last. */
  target: WireTarget | undefined;
  /** Connections are refused. */
  refusing = false;
  /** The target answers by itself whatever comes. */
  polite = false;
  /** Tasks that have not ended. */
  readonly running = new Set<number>();
  readonly outcomes = new Map<number, number>();
  startError: Error | undefined;
  readonly #lane: ScriptedLane;
  readonly #memory: number;

  constructor(
    lane: ScriptedLane,
    transport: TransportName,
    port: number,
    memory: number,
    options: Partial<SessionOptions>,
  ) {
    this.#lane = lane;
    this.transport = transport;
    this.#memory = memory;
    const { reactor, pool, timers, strategy } = lane;
    this.session = new Session({
      createTransport: (events) =>
        createTransport(transport, {
          reactor,
          pool,
          events,
          pduCapacity: 24,
          schedule: (delayMs, action) => timers.schedule(delayMs, action),
          strategyFor: () => strategy,
        }),
      arena: reactor.arena,
      pool,
      timers,
      random: () => 0,
      portals: [{ host: '192.0.2.1', port }],
      resolve: (host) => Promise.resolve([host]),
      login: loginTemplate,
      isid: Uint8Array.of(0x80, 1, 2, 3, 4, 5),
      lun: 3,
      taskCapacity: 16,
      ...options,
      onEvent: (event) => {
        this.events.push(event);
        options.onEvent?.(event);
      },
    });
  }

  /** The target of the current connection. */
  get wire(): WireTarget {
    if (this.target === undefined) throw new Error('nobody has connected');
    return this.target;
  }

  /** Begins the session as far as its first login request. */
  async begin(): Promise<WireTarget> {
    this.session.start().catch((error: unknown) => {
      this.startError = error as Error;
    });
    await this.#lane.rest();
    return this.wire;
  }

  /** A session that is up, with a wide window. */
  async up(): Promise<WireTarget> {
    const wire = await this.begin();
    wire.login();
    await this.#lane.rest();
    wire.openWindow();
    await this.#lane.rest();
    return wire;
  }

  /** Submits a command; 'read' and 'write' move `length` bytes. */
  submit(kind: 'read' | 'write' | 'none', length = 4096): number {
    const { tasks } = this.session;
    const task = tasks.allocate(this);
    tasks.cdb.fill(0, task * 16, task * 16 + 16);
    tasks.cdb[task * 16] = kind === 'read' ? 0x28 : kind === 'write' ? 0x2a : 0;
    tasks.readOffset[task] = this.#memory;
    tasks.readLength[task] = kind === 'read' ? length : 0;
    tasks.writeOffset[task] = this.#memory + taskMemoryBytes / 2;
    tasks.writeLength[task] = kind === 'write' ? length : 0;
    tasks.deadlineMs[task] = Infinity;
    tasks.commandTimeoutMs[task] = Infinity;
    this.running.add(task);
    this.session.submitTask(task);
    return task;
  }

  onTaskDone(task: number): void {
    this.running.delete(task);
    this.outcomes.set(task, this.session.tasks.outcome[task]);
  }

  /** How connections have ended, oldest first. */
  get ends(): ClosedEvent[] {
    return this.events.filter((event) => event.kind === 'connection-closed');
  }

  kinds(kind: SessionEvent['kind']): SessionEvent[] {
    return this.events.filter((event) => event.kind === kind);
  }
}
