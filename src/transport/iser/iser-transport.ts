/**
 * iSCSI over iSER (RFC 7145): control-type PDUs go as SENDs, data goes by RDMA straight between the target and the registered
 * memory of the task. Data-In, R2T and Data-Out do not exist on this wire.
 *
 * Outbound: PDUs whose memory cannot be registered now wait in a FIFO, and everything behind them too, so that CmdSN stays in
 * order. Inbound: PDUs wait in a FIFO while the SEND that they answer has not completed, because the session frees its memory on
 * delivery; StatSN stays in order.
 */
import { assert, ProtocolError } from '../../errors.ts';
import {
  checkControlHeader,
  controlHeaderLength,
  iserHeaderLength,
  setReadStag,
  setWriteStag,
  TaggedOffsets,
  writeControlHeader,
} from '../../iser/header.ts';
import type { RegistrationStrategy } from '../../memory/registration.ts';
import { bhsLength, Opcode, opcodeAt, setDataSegmentLength } from '../../wire/bhs.ts';
import {
  ahsLengthAt,
  checkedDataSegmentLength,
  checkedSlot,
  endOf,
  expectedReadLength,
  refuse,
  rejectedSlot,
} from '../inbound.ts';
import { loginDataSegmentLength, type TransportOptions } from '../options.ts';
import type { PduTable } from '../pdu-table.ts';
import { PduSlots } from '../pdu-slots.ts';
import { Ring } from '../ring.ts';
import {
  ConnectionEnd,
  type FullFeatureParameters,
  type Portal,
  type Transport,
  type TransportCapabilities,
} from '../transport.ts';
import { WritableNotice } from '../writable.ts';
import {
  headerRoom,
  IserLink,
  type LinkEvents,
  type LinkState,
  loginReceives,
  unsolicitedReceives,
} from './link.ts';
import { receiveDataSegmentLength } from './receive-buffers.ts';
import { StagTable } from './stags.ts';

export const iserCapabilities: TransportCapabilities = {
  name: 'iser',
  rdma: true,
  /** Targets receive into 8 KiB buffers whatever TargetRecvDataSegmentLength they agree to. */
  maxImmediateDataLength: 8192,
  /** A second, solicited part costs the RDMA READ that immediate data is to save. */
  splitImmediateData: false,
  /** The least limit among known targets; beyond it they close the connection. */
  maxTransferLength: 512 * 1024,
  receiveDataSegmentLength,
};

export interface IserTransportOptions extends TransportOptions {
  /** The lane's registrations on the device of this protection domain; they outlive connections. */
  readonly strategyFor: (protectionDomain: number) => RegistrationStrategy;
  /** A connection that was given the strategy has let go of everything. `deviceRemoved`: others of the device will, soon. */
  readonly onDomainLeft?: (protectionDomain: number, deviceRemoved: boolean) => void;
}

/** NOP-Out, task management, text and logout that may be outstanding beside the commands. */
const controlReceives = 8;
/** Registrations that others release outside of a batch are noticed at the latest after this time. */
const registrationRetryMs = 5;

export class IserTransport implements Transport, LinkEvents {
  readonly pdus: PduTable;
  readonly #options: IserTransportOptions;
  readonly #link: IserLink;
  readonly #slots: PduSlots;
  readonly #offsets: TaggedOffsets;
  readonly #writable: WritableNotice;
  readonly #onBatchEnd: () => void;
  /** PDUs that wait for a registration, and those behind them. */
  readonly #waiting: Ring;
  /** Receive buffers whose PDUs are not delivered yet, and the lengths of what is in them. */
  readonly #inbound: Ring;
  readonly #inboundLength: Uint32Array;
  #stags: StagTable | undefined;
  #domain = -1;
  #parameters: FullFeatureParameters | undefined;
  #cancelRetry: (() => void) | undefined;
  #capabilities = iserCapabilities;
  #delivering = false;
  /** Messages. */
  #heard = 0;

  constructor(options: IserTransportOptions) {
    const { pduCapacity, reactor, schedule, events } = options;
    const receives = pduCapacity + loginReceives + unsolicitedReceives;
    this.#options = options;
    this.#slots = new PduSlots(pduCapacity);
    this.pdus = this.#slots.pdus;
    this.#offsets = new TaggedOffsets(reactor.arena.base);
    this.#link = new IserLink(options, this);
    this.#waiting = new Ring(pduCapacity);
    this.#inbound = new Ring(receives);
    this.#inboundLength = new Uint32Array(receives);
    this.#writable = new WritableNotice(this.#slots, schedule, () => {
      events.onWritable();
    });
    this.#onBatchEnd = () => {
      if (!this.#link.isEstablished) return;
      this.#sendWaiting();
      this.#writable.batchEnd();
    };
    reactor.addBatchEndListener(this.#onBatchEnd);
  }

  /** With onConnected the ceiling of the lane's registrations is known, too. */
  get capabilities(): TransportCapabilities {
    return this.#capabilities;
  }

  get state(): LinkState {
    return this.#link.state;
  }

  get heard(): number {
    return this.#heard;
  }

  connect(portal: Portal): void {
    this.#link.connect(portal);
  }

  newPdu(): number {
    if (!this.#link.isEstablished) return -1;
    return this.#slots.open(this.#options.reactor.arena.bytes);
  }

  queuePdu(pdu: number): void {
    if (!this.#link.isEstablished) return;
    this.#slots.queue(pdu);
    this.#slots.beginSend(pdu);
    if (this.#waiting.length === 0 && this.#send(pdu)) return;
    this.#waiting.push(pdu);
    this.#armRetry();
  }

  freePdu(pdu: number): void {
    if (!this.#link.isEstablished) return;
    if (!this.#slots.isSending(pdu)) this.#stags?.release(pdu, 0);
    else if (this.#movesData(pdu)) {
      // the target or the device may still touch memory that the session is about to reuse
      this.disconnect(ConnectionEnd.internalError, 'PDU freed while its data is under way');
      return;
    }
    if (this.#slots.free(pdu)) this.#writable.slotFreed();
  }

  prepareFullFeature({ queueDepth }: FullFeatureParameters): void {
    if (!this.#link.isEstablished) return;
    const answers = Math.min(this.pdus.capacity, queueDepth + controlReceives);
    this.#link.growReceives(Math.max(loginReceives, answers + unsolicitedReceives));
  }

  enterFullFeature(parameters: FullFeatureParameters): void {
    this.#parameters = parameters;
  }

  disconnect(end: ConnectionEnd, detail: string): void {
    this.#link.end(end, detail);
  }

  onProtectionDomain(protectionDomain: number): void {
    const strategy = this.#options.strategyFor(protectionDomain);
    this.#domain = protectionDomain;
    this.#stags = new StagTable(strategy, this.pdus);
    const maxTransferLength = Math.min(iserCapabilities.maxTransferLength, strategy.maximumLength);
    this.#capabilities = { ...iserCapabilities, maxTransferLength };
    this.#slots.placeHeaders(this.#link.headers + iserHeaderLength, headerRoom);
  }

  onEstablished(): void {
    this.#options.events.onConnected();
  }

  onSent(pdu: number): void {
    if (this.#slots.isFreed(pdu)) this.#stags?.release(pdu, 0);
    if (this.#slots.endSend(pdu)) this.#writable.slotFreed();
    if (this.#inbound.length > 0) this.#deliver();
  }

  onReceived(tag: number, length: number): void {
    this.#heard++;
    this.#inboundLength[tag] = length;
    this.#inbound.push(tag);
    this.#deliver();
  }

  /** A target that refuses a login disconnects at once; the event may overtake its last words. */
  onReceivedLate(tag: number, length: number): void {
    if (this.#parameters === undefined) this.onReceived(tag, length);
  }

  onDestroyed(): void {
    this.#cancelRetry?.();
    this.#writable.stop();
    this.#waiting.clear();
    this.#inbound.clear();
    if (this.#stags !== undefined) {
      this.#stags.releaseAll();
      this.#options.onDomainLeft?.(this.#domain, this.#link.deviceRemoved);
    }
    this.#options.reactor.removeBatchEndListener(this.#onBatchEnd);
  }

  onClosed(end: ConnectionEnd, detail: string): void {
    this.#options.events.onClosed(end, detail);
  }

  /** Whether the slot's PDU uses memory of the session beside its header. */
  #movesData(pdu: number): boolean {
    const { readLength, writeLength } = this.pdus;
    return readLength[pdu] > 0 || writeLength[pdu] > 0;
  }

  /** False when the PDU must wait for a registration. */
  #send(pdu: number): boolean {
    const stags = this.#stags;
    assert(stags !== undefined, 'a queue pair has a protection domain');
    if (!stags.acquire(pdu)) return false;
    const { bytes, view } = this.#options.reactor.arena;
    const bhs = this.pdus.bhsOffset[pdu];
    const header = bhs - iserHeaderLength;
    const dataLength = this.pdus.dataSegmentLength[pdu];
    setDataSegmentLength(view, bhs, dataLength);
    writeControlHeader(bytes, header);
    this.#advertise(stags, pdu, header, dataLength);
    const data =
      dataLength > 0 ? stags.deviceOffset(pdu, this.pdus.dataSegmentOffset[pdu]) : header;
    this.#link.send(pdu, header, data, dataLength, stags.lkey(pdu));
    return true;
  }

  /** Puts the STag of the task's memory into the iSER header; the immediate bytes of a write are not advertised. */
  #advertise(stags: StagTable, pdu: number, header: number, immediateLength: number): void {
    const { view } = this.#options.reactor.arena;
    const { readOffset, readLength, writeOffset, writeLength, dataSegmentOffset } = this.pdus;
    if (readLength[pdu] > 0) {
      const at = stags.deviceOffset(pdu, readOffset[pdu]);
      setReadStag(view, header, stags.rkey(pdu), this.#offsets, at);
      return;
    }
    if (writeLength[pdu] === 0) return;
    assert(immediateLength <= writeLength[pdu], 'immediate data within the write data');
    assert(
      immediateLength === 0 || dataSegmentOffset[pdu] === writeOffset[pdu],
      'immediate data is the start of the write data',
    );
    if (immediateLength === writeLength[pdu]) return;
    const at = stags.deviceOffset(pdu, writeOffset[pdu] + immediateLength);
    setWriteStag(view, header, stags.rkey(pdu), this.#offsets, at);
  }

  #sendWaiting(): void {
    while (this.#waiting.length > 0 && this.#send(this.#waiting.first())) this.#waiting.shift();
  }

  #armRetry(): void {
    this.#cancelRetry ??= this.#options.schedule(registrationRetryMs, () => {
      this.#cancelRetry = undefined;
      if (!this.#link.isEstablished) return;
      this.#sendWaiting();
      if (this.#waiting.length > 0) this.#armRetry();
    });
  }

  /** Delivers what has come, in order, up to the first answer whose SEND has not completed. */
  #deliver(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      while (this.#inbound.length > 0 && this.#deliverFirst());
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.disconnect(endOf(error), error.message);
    } finally {
      this.#delivering = false;
    }
  }

  #deliverFirst(): boolean {
    const tag = this.#inbound.first();
    const { bytes, view } = this.#options.reactor.arena;
    const start = this.#link.receiveOffset(tag);
    const dataLength = this.#checkLengths(start, this.#inboundLength[tag]);
    const bhs = start + iserHeaderLength;
    const opcode = opcodeAt(bytes, bhs);
    if (opcode === Opcode.dataIn || opcode === Opcode.r2t)
      throw refuse(`opcode 0x${opcode.toString(16)} does not exist over iSER`);
    const pdu = checkedSlot(this.#slots, bytes, view, bhs, this.#parameters !== undefined);
    const data = bhs + bhsLength + ahsLengthAt(bytes, bhs);
    const ends = opcode === Opcode.reject ? rejectedSlot(this.#slots, view, data, dataLength) : pdu;
    if (ends >= 0 && this.#slots.isSending(ends)) return false;
    this.#inbound.shift();
    if (pdu >= 0) this.#finish(pdu, bhs);
    this.#options.events.onPdu(pdu, bhs, data, dataLength);
    this.#link.repost(tag);
    return this.#link.isEstablished;
  }

  /**
   * The message is a control-type PDU and as long as its headers say, with at most 3 bytes of padding (targets differ in
   * whether they pad). Returns its DataSegmentLength.
   */
  #checkLengths(start: number, length: number): number {
    const { bytes, view } = this.#options.reactor.arena;
    if (length < controlHeaderLength)
      throw refuse(`message of ${length} bytes, iSER header and BHS need ${controlHeaderLength}`);
    checkControlHeader(bytes, start);
    const bhs = start + iserHeaderLength;
    const limit = this.#parameters?.maxReceiveDataSegmentLength ?? loginDataSegmentLength;
    const dataLength = checkedDataSegmentLength(view, bhs, limit);
    const expected = controlHeaderLength + ahsLengthAt(bytes, bhs) + dataLength;
    if (length < expected || length > expected + 3)
      throw refuse(
        `message of ${length} bytes, its TotalAHSLength and DataSegmentLength ${dataLength} make ${expected}`,
      );
    return dataLength;
  }

  /** The response is in and the SEND is complete: the target is done with the task's memory. */
  #finish(pdu: number, bhs: number): void {
    const { bytes, view } = this.#options.reactor.arena;
    const readLength = this.pdus.readLength[pdu];
    const placed = readLength === 0 ? 0 : expectedReadLength(bytes, view, bhs, readLength);
    this.pdus.readPlaced[pdu] = placed;
    this.#stags?.release(pdu, placed);
    this.#slots.answered(pdu);
  }
}
