/**
 * iSCSI over TCP (RFC 7143): the datamover that turns R2Ts into Data-Out, places Data-In, and adds and checks digests.
 *
 *   idle ─► connecting ─► login ─► fullFeature ─► closing ─► closed
 *     └──────────┴──────────┴─────────────────────►┘
 *
 * On the way to `closing` the socket is closed at once: from then on nobody touches the connection's memory. onClosed follows in a
 * later turn.
 */
import { assert, ProtocolError } from '../../errors.ts';
import { noBuffer } from '../../memory/buffer-pool.ts';
import { endOfFile } from '../../reactor/layout.ts';
import type { ObjectId, StreamSink } from '../../reactor/reactor.ts';
import { BhsField, bhsLength, finalBit, Opcode, opcodeAt } from '../../wire/bhs.ts';
import { Ending } from '../ending.ts';
import { endOf } from '../inbound.ts';
import { defaultConnectTimeoutMs, type TransportOptions } from '../options.ts';
import type { PduTable } from '../pdu-table.ts';
import { PduSlots } from '../pdu-slots.ts';
import { CheckedState, type TransitionTable } from '../../checked-state.ts';
import {
  ConnectionEnd,
  type FullFeatureParameters,
  type Portal,
  type Transport,
  type TransportCapabilities,
} from '../transport.ts';
import { WritableNotice } from '../writable.ts';
import { DataInPlacement } from './data-in.ts';
import { DataOutQueue, dataOutHeaders, dataOutTagBase } from './data-out.ts';
import { endOfConnect } from './errno.ts';
import { headerRoom, PduSender } from './pdu-sender.ts';
import { chunkLength, type ReceiverOutput, TcpReceiver } from './receiver.ts';

export const tcpCapabilities: TransportCapabilities = {
  name: 'tcp',
  rdma: false,
  maxImmediateDataLength: 0xffffffff,
  splitImmediateData: true,
  maxTransferLength: 16 * 1024 * 1024,
  receiveDataSegmentLength: 256 * 1024,
};

export type TcpState = 'idle' | 'connecting' | 'login' | 'fullFeature' | 'closing' | 'closed';

const transitions: TransitionTable<TcpState> = {
  idle: ['connecting', 'closing'],
  connecting: ['login', 'closing'],
  login: ['fullFeature', 'closing'],
  fullFeature: ['closing'],
  closing: ['closed'],
  closed: [],
};

const noObject = -1;

export class TcpTransport implements Transport, StreamSink, ReceiverOutput {
  readonly capabilities = tcpCapabilities;
  readonly pdus: PduTable;
  readonly #options: TransportOptions;
  readonly #slots: PduSlots;
  readonly #dataIn: DataInPlacement;
  readonly #state = new CheckedState<TcpState>('TCP transport', transitions, 'idle');
  readonly #ending: Ending;
  readonly #writable: WritableNotice;
  readonly #onBatchEnd: () => void;
  #stream: ObjectId = noObject;
  /** Header room of every PDU slot and every Data-Out, and the receiver's saved BHS; and the receive chunk. */
  #headers = noBuffer;
  #chunk = noBuffer;
  #sender: PduSender | undefined;
  #receiver: TcpReceiver | undefined;
  #dataOut: DataOutQueue | undefined;
  #receiving = false;
  /** Bytes. */
  #heard = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#slots = new PduSlots(options.pduCapacity);
    this.pdus = this.#slots.pdus;
    this.#dataIn = new DataInPlacement(this.pdus);
    this.#ending = new Ending(options.schedule);
    this.#writable = new WritableNotice(this.#slots, options.schedule, () => {
      options.events.onWritable();
    });
    this.#onBatchEnd = () => {
      if (this.#isOpen()) this.#writable.batchEnd();
    };
    options.reactor.addBatchEndListener(this.#onBatchEnd);
  }

  get state(): TcpState {
    return this.#state.current;
  }

  get heard(): number {
    return this.#heard;
  }

  connect(portal: Portal): void {
    if (this.#ending.end !== undefined) return;
    this.#state.enter('connecting');
    if (!this.#allocate()) {
      this.disconnect(ConnectionEnd.internalError, 'no buffer memory for the connection');
      return;
    }
    const timeoutMs = this.#options.connectTimeoutMs ?? defaultConnectTimeoutMs;
    this.#ending.arm(timeoutMs, () => {
      this.disconnect(ConnectionEnd.connectTimeout, `no connection after ${timeoutMs} ms`);
    });
    try {
      this.#stream = this.#options.reactor.connectStream(portal.address, portal.port, this);
    } catch (error) {
      this.disconnect(ConnectionEnd.unreachable, `connect: ${String(error)}`);
    }
  }

  newPdu(): number {
    return this.#isOpen() ? this.#slots.open(this.#options.reactor.arena.bytes) : -1;
  }

  queuePdu(pdu: number): void {
    if (!this.#isOpen()) return;
    this.#slots.queue(pdu);
    const { bytes, view } = this.#options.reactor.arena;
    const bhs = this.pdus.bhsOffset[pdu];
    const dataLength = this.pdus.dataSegmentLength[pdu];
    const dataOut = this.#dataOut;
    if (dataOut !== undefined) dataOut.expStatSn = view.getUint32(bhs + BhsField.expStatSn);
    if (opcodeAt(bytes, bhs) === Opcode.scsiCommand) this.#startCommand(pdu, bhs, dataLength);
    this.#slots.beginSend(pdu);
    this.#sender?.send(pdu, bhs, this.pdus.dataSegmentOffset[pdu], dataLength);
    dataOut?.pump();
  }

  freePdu(pdu: number): void {
    if (!this.#isOpen()) return;
    this.#dataOut?.cancel(pdu);
    const writing = this.#slots.isSending(pdu) && this.pdus.writeLength[pdu] > 0;
    // the session is about to reuse memory that is still read or written: only the end of the stream stops that at once
    if (writing || this.#receiver?.directPdu === pdu)
      this.disconnect(ConnectionEnd.internalError, 'PDU freed while its data is under way');
    else if (this.#slots.free(pdu)) this.#writable.slotFreed();
  }

  /** Nothing to prepare: a stream needs no receives, and what counts is what the last login response settles. */
  prepareFullFeature(): void {
    if (!this.#isOpen()) return;
    assert(this.#state.current === 'login', 'prepareFullFeature during login');
  }

  enterFullFeature(parameters: FullFeatureParameters): void {
    if (!this.#isOpen()) return;
    assert(this.#sender !== undefined, 'a connection has a sender');
    this.#state.enter('fullFeature');
    this.#receiver?.enterFullFeature(parameters);
    this.#sender.headerDigest = parameters.headerDigest;
    this.#sender.dataDigest = parameters.dataDigest;
    this.#dataOut = new DataOutQueue(
      this.#options.reactor.arena,
      this.#slots,
      this.#sender,
      parameters,
      this.#headers + this.pdus.capacity * headerRoom,
    );
  }

  disconnect(end: ConnectionEnd, detail: string): void {
    if (!this.#ending.begin(end, detail)) return;
    this.#state.enter('closing');
    this.#receiver?.stop();
    this.#writable.stop();
    if (this.#stream !== noObject) this.#options.reactor.close(this.#stream);
    this.#ending.later(() => {
      this.#finish();
    });
  }

  onConnected(errno: number): void {
    if (errno !== 0) {
      this.disconnect(endOfConnect(errno), `connect: errno ${errno}`);
      return;
    }
    this.#ending.disarm();
    this.#state.enter('login');
    this.#sender = new PduSender(this.#options.reactor, this.#stream);
    const dataOutEnd = this.#headers + (this.pdus.capacity + dataOutHeaders) * headerRoom;
    this.#receiver = new TcpReceiver(
      this.#options.reactor.arena,
      this.#slots,
      this.#dataIn,
      this,
      this.#chunk,
      dataOutEnd,
    );
    this.#receive(this.#receiver);
    this.#options.events.onConnected();
  }

  onReceived(length: number, status: number): void {
    const receiver = this.#receiver;
    this.#receiving = false;
    this.#heard += length;
    if (receiver === undefined || !this.#isOpen()) return;
    if (length > 0) this.#parse(receiver, length);
    if (status === endOfFile)
      this.disconnect(ConnectionEnd.peerClosed, 'the target closed the connection');
    else if (status !== 0)
      this.disconnect(ConnectionEnd.connectionReset, `receive: errno ${status}`);
    else this.#receive(receiver);
  }

  onSent(tag: number, status: number): void {
    if (!this.#isOpen()) return;
    if (status !== 0) {
      this.disconnect(ConnectionEnd.connectionReset, `send: errno ${status}`);
      return;
    }
    const dataOut = this.#dataOut;
    const pdu = tag < dataOutTagBase || dataOut === undefined ? tag : dataOut.sent(tag);
    if (this.#slots.endSend(pdu)) this.#writable.slotFreed();
    if (this.#receiver?.holding === true) this.#resume(this.#receiver);
    if (dataOut !== undefined) {
      dataOut.paused = this.#receiver?.holding === true;
      dataOut.pump();
    }
  }

  /**
   * An answer ends the use of the task's memory, so it waits until nothing of the task is left to send; a task management response
   * may end other tasks, so it waits for all Data-Out that is under way.
   */
  canDeliver(pdu: number, opcode: number): boolean {
    const dataOut = this.#dataOut;
    if (dataOut !== undefined && opcode === Opcode.taskManagementResponse && dataOut.inFlight > 0) {
      dataOut.paused = true;
      return false;
    }
    if (pdu < 0 || opcode === Opcode.r2t) return true;
    dataOut?.cancel(pdu);
    return !this.#slots.isSending(pdu);
  }

  onPdu(pdu: number, bhsOffset: number, dataOffset: number, dataLength: number): void {
    this.#options.events.onPdu(pdu, bhsOffset, dataOffset, dataLength);
  }

  onR2t(pdu: number, bhsOffset: number, dataLength: number): void {
    this.#dataOut?.acceptR2t(pdu, bhsOffset, dataLength);
    this.#dataOut?.pump();
  }

  #isOpen(): boolean {
    return this.#state.current === 'login' || this.#state.current === 'fullFeature';
  }

  #startCommand(pdu: number, bhs: number, immediateLength: number): void {
    const dataOut = this.#dataOut;
    assert(dataOut !== undefined, 'SCSI commands belong to the full feature phase');
    this.#dataIn.start(pdu);
    const writeLength = this.pdus.writeLength[pdu];
    const unsolicited = dataOut.unsolicitedLength(writeLength, immediateLength);
    // §11.3.1: F is clear when unsolicited Data-Out follows
    if (unsolicited > 0) this.#options.reactor.arena.bytes[bhs + BhsField.flags] &= ~finalBit;
    dataOut.start(pdu, immediateLength, unsolicited);
  }

  #parse(receiver: TcpReceiver, length: number): void {
    try {
      receiver.accept(length);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #resume(receiver: TcpReceiver): void {
    try {
      receiver.resume();
    } catch (error) {
      this.#refuse(error);
      return;
    }
    this.#receive(receiver);
  }

  #refuse(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    this.disconnect(endOf(error), error.message);
  }

  #receive(receiver: TcpReceiver): void {
    if (!this.#isOpen() || this.#receiving || receiver.holding) return;
    this.#receiving = true;
    this.#options.reactor.receive(
      this.#stream,
      receiver.wantOffset,
      receiver.wantMinimum,
      receiver.wantMaximum,
    );
  }

  #allocate(): boolean {
    const { pool } = this.#options;
    const rooms = (this.pdus.capacity + dataOutHeaders) * headerRoom;
    this.#headers = pool.allocate(rooms + bhsLength);
    this.#chunk = pool.allocate(chunkLength);
    if (this.#headers === noBuffer || this.#chunk === noBuffer) return false;
    this.#slots.placeHeaders(this.#headers, headerRoom);
    return true;
  }

  #finish(): void {
    const { pool, reactor, events } = this.#options;
    reactor.removeBatchEndListener(this.#onBatchEnd);
    if (this.#headers !== noBuffer) pool.release(this.#headers);
    if (this.#chunk !== noBuffer) pool.release(this.#chunk);
    this.#state.enter('closed');
    events.onClosed(this.#ending.end ?? ConnectionEnd.internalError, this.#ending.detail);
  }
}
