/**
 * A transport whose target is the test: it sees every PDU that the initiator queues and answers, lies or keeps silent as the
 * test says. Nothing happens by itself but the end after `disconnect`, one turn of the clock later.
 */
import type { Timers } from '../../src/timers.ts';
import type { ArenaMemory } from '../../src/reactor/reactor.ts';
import { PduTable } from '../../src/transport/pdu-table.ts';
import type {
  ConnectionEnd,
  FullFeatureParameters,
  Portal,
  Transport,
  TransportCapabilities,
  TransportEvents,
} from '../../src/transport/transport.ts';

/** A request as it went out; a copy. */
export interface SentPdu {
  readonly slot: number;
  readonly opcode: number;
  readonly immediate: boolean;
  readonly flags: number;
  readonly lun: bigint;
  readonly itt: number;
  /** Bytes 20-23: EDTL, TTT or referenced task tag. */
  readonly word20: number;
  readonly cmdSn: number;
  readonly expStatSn: number;
  /** Bytes 32-35: start of the CDB or RefCmdSN. */
  readonly word32: number;
  readonly bhs: Uint8Array;
  readonly data: Uint8Array;
  readonly readOffset: number;
  readonly readLength: number;
  readonly writeOffset: number;
  readonly writeLength: number;
}

export const tcpCapabilities: TransportCapabilities = {
  name: 'tcp',
  rdma: false,
  maxImmediateDataLength: 0xffffffff,
  splitImmediateData: true,
  maxTransferLength: 0xffffffff,
  receiveDataSegmentLength: 262144,
};

export const iserCapabilities: TransportCapabilities = {
  name: 'iser',
  rdma: true,
  maxImmediateDataLength: 8192,
  splitImmediateData: false,
  maxTransferLength: 524288,
  receiveDataSegmentLength: 8192,
};

export interface FakeTransportOptions {
  readonly arena: ArenaMemory;
  readonly timers: Timers;
  /** Arena offset of pduCapacity * 48 bytes for headers, 48 + 16384 for what the target sends. */
  readonly base: number;
  readonly pduCapacity: number;
  readonly capabilities: TransportCapabilities;
}

export class FakeTransport implements Transport {
  readonly capabilities: TransportCapabilities;
  readonly pdus: PduTable;
  readonly events: TransportEvents;
  heard = 0;
  readonly sent: SentPdu[] = [];
  readonly freed: number[] = [];
  portal: Portal | undefined;
  prepared: FullFeatureParameters | undefined;
  fullFeature: FullFeatureParameters | undefined;
  disconnected: { readonly end: ConnectionEnd; readonly detail: string } | undefined;
  closed = false;
  /** `newPdu` finds nothing, as when send resources are used up. */
  starved = false;
  /** `disconnect` is followed by onClosed only when the test says so. */
  holdsClose = false;
  readonly #options: FakeTransportOptions;

  constructor(events: TransportEvents, options: FakeTransportOptions) {
    this.events = events;
    this.#options = options;
    this.capabilities = options.capabilities;
    this.pdus = new PduTable(options.pduCapacity);
    for (let slot = 0; slot < options.pduCapacity; slot++) {
      this.pdus.bhsOffset[slot] = options.base + slot * 48;
    }
  }

  connect(portal: Portal): void {
    this.portal = portal;
  }

  newPdu(): number {
    return this.starved ? -1 : this.pdus.allocate();
  }

  queuePdu(slot: number): void {
    const { bytes, view } = this.#options.arena;
    const at = this.pdus.bhsOffset[slot];
    const dataAt = this.pdus.dataSegmentOffset[slot];
    this.sent.push({
      slot,
      opcode: bytes[at] & 0x3f,
      immediate: (bytes[at] & 0x40) !== 0,
      flags: bytes[at + 1],
      lun: view.getBigUint64(at + 8),
      itt: view.getUint32(at + 16),
      word20: view.getUint32(at + 20),
      cmdSn: view.getUint32(at + 24),
      expStatSn: view.getUint32(at + 28),
      word32: view.getUint32(at + 32),
      bhs: bytes.slice(at, at + 48),
      data: bytes.slice(dataAt, dataAt + this.pdus.dataSegmentLength[slot]),
      readOffset: this.pdus.readOffset[slot],
      readLength: this.pdus.readLength[slot],
      writeOffset: this.pdus.writeOffset[slot],
      writeLength: this.pdus.writeLength[slot],
    });
  }

  freePdu(slot: number): void {
    this.freed.push(slot);
    this.pdus.release(slot);
  }

  prepareFullFeature(parameters: FullFeatureParameters): void {
    this.prepared = parameters;
  }

  enterFullFeature(parameters: FullFeatureParameters): void {
    this.fullFeature = parameters;
  }

  disconnect(end: ConnectionEnd, detail: string): void {
    if (this.disconnected !== undefined || this.closed) return;
    this.disconnected = { end, detail };
    if (this.holdsClose) return;
    this.#options.timers.schedule(0, () => {
      this.close(end, detail);
    });
  }

  // The target's side.

  /** The connection ends now. */
  close(end: ConnectionEnd, detail = 'by the test'): void {
    if (this.closed) return;
    this.closed = true;
    this.events.onClosed(end, detail);
  }

  /** The target sends a PDU. */
  deliver(bhs: Uint8Array, data: Uint8Array = new Uint8Array(0)): void {
    const { arena, base, pduCapacity } = this.#options;
    const at = base + pduCapacity * 48;
    this.heard++;
    arena.bytes.set(bhs, at);
    arena.bytes.set(data, at + 48);
    const itt = arena.view.getUint32(at + 16);
    const slot = itt === 0xffffffff ? -1 : this.pdus.find(itt);
    if (itt !== 0xffffffff && slot === -1) {
      this.close('protocol-error', 'unknown tag');
      return;
    }
    this.events.onPdu(slot, at, at + 48, data.length);
    // What a receive buffer held is gone after the callback.
    arena.bytes.fill(0xee, at, at + 48 + data.length);
  }
}
