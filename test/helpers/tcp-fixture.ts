/** A TcpTransport on a fake reactor, with the target's end of the stream in the test's hands. */
import { FakeReactor, type FakeStreamPeer } from '../../src/reactor/fake-reactor.ts';
import { TcpTransport } from '../../src/transport/tcp/tcp-transport.ts';
import type { FullFeatureParameters } from '../../src/transport/transport.ts';
import { type Digests, type InitiatorPdu, parseInitiatorPdus } from './target-pdus.ts';
import {
  CountingPool,
  defaultParameters,
  ManualTimers,
  RecordingEvents,
} from './transport-fixture.ts';

/** Task memory of tests begins here; the pool is below. */
export const taskMemory = 4 * 1024 * 1024;

export interface CommandData {
  readonly readLength?: number;
  readonly writeLength?: number;
  readonly immediate?: number;
  /** Where in task memory. */
  readonly offset?: number;
}

export class TcpFixture {
  readonly reactor = new FakeReactor();
  readonly timers = new ManualTimers();
  readonly pool = new CountingPool(0, taskMemory);
  readonly events = new RecordingEvents(this.reactor.arena);
  readonly transport: TcpTransport;
  digests: Digests = {};
  #peer: FakeStreamPeer | undefined;

  constructor(pduCapacity = 16) {
    this.transport = new TcpTransport({
      reactor: this.reactor,
      pool: this.pool,
      events: this.events,
      pduCapacity,
      schedule: this.timers.schedule,
    });
    this.events.placedOf = (pdu) => this.transport.pdus.readPlaced[pdu];
    this.reactor.onConnectStream = (attempt) => {
      this.#peer = attempt.accept();
    };
  }

  get peer(): FakeStreamPeer {
    if (this.#peer === undefined) throw new Error('nobody has connected');
    return this.#peer;
  }

  connect(): this {
    this.transport.connect({ address: '192.0.2.1', port: 3260 });
    this.reactor.run();
    return this;
  }

  /** Connects and skips the login. */
  fullFeature(parameters: Partial<FullFeatureParameters> = {}): this {
    const all = { ...defaultParameters, ...parameters };
    this.connect();
    this.transport.prepareFullFeature();
    this.transport.enterFullFeature(all);
    this.digests = { header: all.headerDigest, data: all.dataDigest };
    return this;
  }

  /** Queues a PDU with this opcode and returns its slot. */
  queue(opcode: number, data?: { offset: number; length: number }): number {
    const { pdus } = this.transport;
    const pdu = this.transport.newPdu();
    if (pdu < 0) return pdu;
    const bhs = pdus.bhsOffset[pdu];
    const { bytes, view } = this.reactor.arena;
    bytes[bhs] = opcode;
    bytes[bhs + 1] = 0x80;
    view.setUint32(bhs + 16, pdus.itt(pdu));
    if (data !== undefined) {
      pdus.dataSegmentOffset[pdu] = data.offset;
      pdus.dataSegmentLength[pdu] = data.length;
    }
    this.transport.queuePdu(pdu);
    return pdu;
  }

  /** Queues a SCSI command and returns its slot. */
  command(data: CommandData): number {
    const { pdus } = this.transport;
    const pdu = this.transport.newPdu();
    const { bytes, view } = this.reactor.arena;
    const bhs = pdus.bhsOffset[pdu];
    const offset = taskMemory + (data.offset ?? 0);
    bytes[bhs] = 0x01;
    bytes[bhs + 1] = 0x80 | (data.readLength ? 0x40 : 0) | (data.writeLength ? 0x20 : 0);
    bytes.set([0, 5, 0, 0, 0, 0, 0, 0], bhs + 8);
    view.setUint32(bhs + 16, pdus.itt(pdu));
    view.setUint32(bhs + 20, data.readLength ?? data.writeLength ?? 0);
    view.setUint32(bhs + 28, 77);
    pdus.readOffset[pdu] = offset;
    pdus.readLength[pdu] = data.readLength ?? 0;
    pdus.writeOffset[pdu] = offset;
    pdus.writeLength[pdu] = data.writeLength ?? 0;
    pdus.dataSegmentOffset[pdu] = offset;
    pdus.dataSegmentLength[pdu] = data.immediate ?? 0;
    this.transport.queuePdu(pdu);
    return pdu;
  }

  itt(pdu: number): number {
    return this.transport.pdus.itt(pdu);
  }

  /** The target writes, and everything comes to rest. */
  receive(...parts: readonly Uint8Array[]): void {
    for (const part of parts) this.peer.write(part);
    this.reactor.run();
  }

  /** What the target has got since the last call. */
  sent(): InitiatorPdu[] {
    this.reactor.run();
    return parseInitiatorPdus(this.peer.take(), this.digests);
  }

  /** Lets onClosed come and returns the reason. */
  ended(): { end: string; detail: string } | undefined {
    this.reactor.run();
    this.timers.advance(0);
    return this.events.ends[0];
  }
}
