/** An IserTransport on a fake reactor; the fake RDMA peer is the target. Registrations are real regions of the fake. */
import {
  notRegistered,
  type RegistrationStatistics,
  type RegistrationStrategy,
} from '../../src/memory/registration.ts';
import { FakeReactor, type FakeRdmaPeer } from '../../src/reactor/fake-reactor.ts';
import { IserTransport } from '../../src/transport/iser/iser-transport.ts';
import type { FullFeatureParameters } from '../../src/transport/transport.ts';
import { type CommandData, taskMemory } from './tcp-fixture.ts';
import {
  CountingPool,
  defaultParameters,
  ManualTimers,
  RecordingEvents,
} from './transport-fixture.ts';

/** Registers on every acquire; `limit` acquisitions at a time. `shift` makes the device find memory elsewhere, as `copy` does. */
export class TestStrategy implements RegistrationStrategy {
  readonly name = 'per-io';
  maximumLength = Infinity;
  readonly statistics = {} as RegistrationStatistics;
  readonly released: { offset: number; writtenLength: number }[] = [];
  readonly live = new Map<number, { offset: number; lkey: number; rkey: number }>();
  limit = Infinity;
  shift = 0;
  readonly #reactor: FakeReactor;
  readonly #protectionDomain: number;

  constructor(reactor: FakeReactor, protectionDomain: number) {
    this.#reactor = reactor;
    this.#protectionDomain = protectionDomain;
  }

  acquire(offset: number, length: number, access: number): number {
    if (this.live.size >= this.limit) return notRegistered;
    const at = offset + this.shift;
    if (this.shift > 0) this.#reactor.arena.bytes.copyWithin(at, offset, offset + length);
    const { id, lkey, rkey } = this.#reactor.registerMemory(
      this.#protectionDomain,
      at,
      length,
      access,
    );
    this.live.set(id, { offset, lkey, rkey });
    return id;
  }

  lkey(registration: number): number {
    return this.#get(registration).lkey;
  }

  rkey(registration: number): number {
    return this.#get(registration).rkey;
  }

  deviceOffset(_registration: number, offset: number): number {
    return offset + this.shift;
  }

  release(registration: number, writtenLength: number): void {
    const { offset } = this.#get(registration);
    const { bytes } = this.#reactor.arena;
    const at = offset + this.shift;
    bytes.copyWithin(offset, at, at + writtenLength);
    this.live.delete(registration);
    this.#reactor.deregisterMemory(registration);
    this.released.push({ offset, writtenLength });
  }

  invalidate(): void {
    throw new Error('transports do not invalidate');
  }

  close(): void {
    throw new Error('a strategy outlives connections');
  }

  #get(registration: number) {
    const found = this.live.get(registration);
    if (found === undefined) throw new Error(`registration ${registration} is not in use`);
    return found;
  }
}

/** What a target reads from a SEND. */
export interface IserRequest {
  readonly flags: number;
  readonly writeStag: number;
  readonly writeAddress: bigint;
  readonly readStag: number;
  readonly readAddress: bigint;
  readonly opcode: number;
  readonly dataSegmentLength: number;
  readonly itt: number;
  readonly data: Uint8Array;
}

export function parseRequest(bytes: Uint8Array): IserRequest {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    flags: bytes[0],
    writeStag: view.getUint32(4),
    writeAddress: view.getBigUint64(8),
    readStag: view.getUint32(16),
    readAddress: view.getBigUint64(20),
    opcode: bytes[28] & 0x3f,
    dataSegmentLength: view.getUint32(32) & 0xffffff,
    itt: view.getUint32(44),
    data: bytes.slice(76),
  };
}

export class IserFixture {
  readonly reactor = new FakeReactor();
  readonly timers = new ManualTimers();
  readonly pool = new CountingPool(0, taskMemory);
  readonly events = new RecordingEvents(this.reactor.arena);
  readonly strategy = new TestStrategy(this.reactor, 1);
  readonly transport: IserTransport;
  readonly domainsLeft: { domain: number; deviceRemoved: boolean; inUse: number }[] = [];

  constructor(pduCapacity = 16) {
    this.transport = new IserTransport({
      reactor: this.reactor,
      pool: this.pool,
      events: this.events,
      pduCapacity,
      schedule: this.timers.schedule,
      strategyFor: () => this.strategy,
      onDomainLeft: (domain, deviceRemoved) => {
        // Whoever deregisters memory now must find none in use.
        this.domainsLeft.push({ domain, deviceRemoved, inUse: this.strategy.live.size });
      },
    });
    this.events.placedOf = (pdu) => this.transport.pdus.readPlaced[pdu];
  }

  get peer(): FakeRdmaPeer {
    const peer = this.reactor.rdmaPeers.at(-1);
    if (peer === undefined) throw new Error('nobody has connected');
    return peer;
  }

  connect(): this {
    this.transport.connect({ address: '192.0.2.1', port: 3260 });
    this.reactor.run();
    return this;
  }

  /** Connects and skips the login. */
  fullFeature(parameters: Partial<FullFeatureParameters> = {}): this {
    const all = { ...defaultParameters, maxReceiveDataSegmentLength: 8192, ...parameters };
    this.connect();
    this.transport.prepareFullFeature(all);
    this.transport.enterFullFeature(all);
    return this;
  }

  queue(opcode: number, data?: { offset: number; length: number }): number {
    const pdu = this.transport.newPdu();
    if (pdu < 0) return pdu;
    this.#fill(pdu, opcode);
    if (data !== undefined) {
      this.transport.pdus.dataSegmentOffset[pdu] = data.offset;
      this.transport.pdus.dataSegmentLength[pdu] = data.length;
    }
    this.transport.queuePdu(pdu);
    return pdu;
  }

  command(data: CommandData): number {
    const { pdus } = this.transport;
    const pdu = this.transport.newPdu();
    const offset = taskMemory + (data.offset ?? 0);
    this.#fill(pdu, 0x01);
    pdus.readOffset[pdu] = offset;
    pdus.readLength[pdu] = data.readLength ?? 0;
    pdus.writeOffset[pdu] = offset;
    pdus.writeLength[pdu] = data.writeLength ?? 0;
    pdus.dataSegmentOffset[pdu] = offset;
    pdus.dataSegmentLength[pdu] = data.immediate ?? 0;
    this.transport.queuePdu(pdu);
    return pdu;
  }

  #fill(pdu: number, opcode: number): void {
    const { bytes, view } = this.reactor.arena;
    const bhs = this.transport.pdus.bhsOffset[pdu];
    bytes[bhs] = opcode;
    bytes[bhs + 1] = 0x80;
    view.setUint32(bhs + 16, this.transport.pdus.itt(pdu));
  }

  itt(pdu: number): number {
    return this.transport.pdus.itt(pdu);
  }

  /** The SENDs that have arrived since the last call. */
  sent(): IserRequest[] {
    this.reactor.run();
    return this.peer.sends.splice(0).map(parseRequest);
  }

  receive(...messages: readonly Uint8Array[]): void {
    for (const message of messages) this.peer.send(message);
    this.reactor.run();
  }

  /** Lets onClosed come and returns the reason. */
  ended(): { end: string; detail: string } | undefined {
    this.reactor.run();
    this.timers.advance(0);
    return this.events.ends[0];
  }
}
