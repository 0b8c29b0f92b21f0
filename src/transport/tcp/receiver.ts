/**
 * The inbound byte stream as PDUs (RFC 7143 §11). It does no I/O: it says where the next bytes belong (`wantOffset`,
 * `wantMinimum`, `wantMaximum`) and is told how many have come (`accept`).
 *
 *   header ──► body ──► header            everything but Data-In: collected whole in the chunk, then delivered
 *      └─────► payload ──► trailer ──► header        Data-In: copied out as it comes, or received in place
 *
 * A large Data-In payload is asked for at its final place, exactly to its end; the next header lands in the chunk again.
 * `body` and `trailer` wait (`holding`) while sends of the answered PDU are still on their way: the session frees their memory
 * on delivery.
 */
import { ProtocolError } from '../../errors.ts';
import type { ArenaMemory } from '../../reactor/reactor.ts';
import { bhsLength, Opcode, opcodeAt, paddingOf } from '../../wire/bhs.ts';
import { crc32c, digestAt } from '../../wire/crc32c.ts';
import { ahsLengthAt, checkedDataSegmentLength, checkedSlot, rejectedSlot } from '../inbound.ts';
import { loginDataSegmentLength } from '../options.ts';
import type { PduSlots } from '../pdu-slots.ts';
import { ConnectionEnd, type FullFeatureParameters } from '../transport.ts';
import { type DataInPlacement, hasStatus } from './data-in.ts';
import { digestLength } from './pdu-sender.ts';

/** Bytes of the receive chunk: many small PDUs per wake-up. */
export const chunkLength = 64 * 1024;
/** From here on the system call for a separate receive costs less than copying. */
export const directThreshold = 16 * 1024;
/** After a direct receive more of the same is likely: take little of the next payload into the chunk. */
const shortReceive = 4096;
/** Below this much room the chunk is compacted before the next receive. */
const comfortableRoom = 16 * 1024;

/** Header with the longest AHS and digest, padding and data digest: what a PDU needs in the chunk beside its data. */
const framing = 512;
/** Largest data segment of a PDU that must lie whole in the chunk. */
const maxCollectedLength = chunkLength - framing;

export interface ReceiverOutput {
  /** May this PDU, which ends the use of slot `pdu` (-1: none), be delivered, or must sends be waited for? */
  canDeliver(pdu: number, opcode: number): boolean;
  onPdu(pdu: number, bhsOffset: number, dataOffset: number, dataLength: number): void;
  onR2t(pdu: number, bhsOffset: number, dataLength: number): void;
}

type Phase = 'header' | 'body' | 'payload' | 'trailer';

export class TcpReceiver {
  readonly #arena: ArenaMemory;
  readonly #slots: PduSlots;
  readonly #dataIn: DataInPlacement;
  readonly #output: ReceiverOutput;
  readonly #chunk: number;
  /** 48 bytes: the BHS of the Data-In whose payload is being taken. */
  readonly #savedBhs: number;
  /** [#parsed, #filled) of the arena are received and not yet consumed. */
  #parsed: number;
  #filled: number;
  #phase: Phase = 'header';
  /** The next receive goes to the task's buffer. */
  #direct = false;
  #takeLittle = false;
  #holding = false;
  #stopped = false;
  #parameters: FullFeatureParameters | undefined;
  /** The PDU being parsed. */
  #pdu = 0;
  #headerLength = 0;
  #dataLength = 0;
  #target = 0;
  #remaining = 0;
  #crc = 0;
  /** Bytes from #parsed that the phase needs to go on. */
  #needed = bhsLength;

  wantOffset = 0;
  wantMinimum = 0;
  wantMaximum = 0;

  /** `chunk`: chunkLength bytes; `savedBhs`: 48 bytes of arena. */
  constructor(
    arena: ArenaMemory,
    slots: PduSlots,
    dataIn: DataInPlacement,
    output: ReceiverOutput,
    chunk: number,
    savedBhs: number,
  ) {
    this.#arena = arena;
    this.#slots = slots;
    this.#dataIn = dataIn;
    this.#output = output;
    this.#chunk = chunk;
    this.#savedBhs = savedBhs;
    this.#parsed = chunk;
    this.#filled = chunk;
    this.#plan();
  }

  /** An answer waits for sends: nothing is wanted until `resume`. */
  get holding(): boolean {
    return this.#holding;
  }

  /** The slot whose buffer the wanted bytes go to directly, or -1. */
  get directPdu(): number {
    return this.#direct ? this.#pdu : -1;
  }

  /** The full feature phase begins with the next PDU. */
  enterFullFeature(parameters: FullFeatureParameters): void {
    this.#parameters = parameters;
  }

  /** Nothing is parsed or delivered any more. */
  stop(): void {
    this.#stopped = true;
  }

  /** `length` bytes have come to where they were wanted. Throws ProtocolError. */
  accept(length: number): void {
    if (this.#direct) {
      this.#tookPayload(this.wantOffset, length);
      if (this.#remaining === 0) this.#direct = false;
    } else {
      this.#filled += length;
    }
    this.#run();
  }

  /** Sends have been reported: a held answer may be deliverable now. Throws ProtocolError. */
  resume(): void {
    this.#run();
  }

  #run(): void {
    this.#holding = false;
    while (!this.#stopped && this.#step());
    if (!this.#stopped && !this.holding) this.#plan();
  }

  /** One phase; false when it cannot go on. */
  #step(): boolean {
    switch (this.#phase) {
      case 'header':
        return this.#takeHeader();
      case 'body':
        return this.#takeBody();
      case 'payload':
        return this.#takePayload();
      case 'trailer':
        return this.#takeTrailer();
    }
  }

  #has(length: number): boolean {
    this.#needed = length;
    return this.#filled - this.#parsed >= length;
  }

  #takeHeader(): boolean {
    if (!this.#has(bhsLength)) return false;
    const { bytes, view } = this.#arena;
    const digest = this.#parameters?.headerDigest === true ? digestLength : 0;
    const covered = bhsLength + ahsLengthAt(bytes, this.#parsed);
    if (!this.#has(covered + digest)) return false;
    if (
      digest > 0 &&
      crc32c(bytes, this.#parsed, covered) !== digestAt(view, this.#parsed + covered)
    )
      throw new ProtocolError(ConnectionEnd.headerDigestError, 'header digest does not match');
    this.#headerLength = covered + digest;
    this.#takeLittle = false;
    this.#checkHeader();
    return true;
  }

  /** Validates the header at #parsed and chooses the phase for what follows it. */
  #checkHeader(): void {
    const { bytes, view } = this.#arena;
    const bhs = this.#parsed;
    const isDataIn = opcodeAt(bytes, bhs) === Opcode.dataIn;
    const declared = this.#parameters?.maxReceiveDataSegmentLength ?? loginDataSegmentLength;
    const limit = isDataIn ? declared : Math.min(declared, maxCollectedLength);
    this.#dataLength = checkedDataSegmentLength(view, bhs, limit);
    this.#pdu = checkedSlot(this.#slots, bytes, view, bhs, this.#parameters !== undefined);
    if (!isDataIn) {
      this.#phase = 'body';
      return;
    }
    this.#target = this.#dataIn.accept(this.#pdu, view, bhs, this.#dataLength);
    this.#remaining = this.#dataLength;
    this.#crc = 0;
    bytes.copyWithin(this.#savedBhs, bhs, bhs + bhsLength);
    this.#parsed += this.#headerLength;
    this.#phase = 'payload';
  }

  /** Padding and data digest behind the data segment. */
  #trailerLength(): number {
    if (this.#dataLength === 0) return 0;
    const digest = this.#parameters?.dataDigest === true ? digestLength : 0;
    return paddingOf(this.#dataLength) + digest;
  }

  #takeBody(): boolean {
    const length = this.#headerLength + this.#dataLength + this.#trailerLength();
    if (!this.#has(length)) return false;
    const { bytes } = this.#arena;
    const bhs = this.#parsed;
    const data = bhs + this.#headerLength;
    const opcode = opcodeAt(bytes, bhs);
    const ends =
      opcode === Opcode.reject
        ? rejectedSlot(this.#slots, this.#arena.view, data, this.#dataLength)
        : this.#pdu;
    if (!this.#output.canDeliver(ends, opcode)) return this.#hold();
    this.#checkDataDigest(
      crc32cWhenNeeded(this.#parameters, bytes, data, this.#dataLength),
      data + this.#dataLength,
    );
    this.#parsed += length;
    this.#phase = 'header';
    if (opcode === Opcode.r2t) {
      this.#output.onR2t(this.#pdu, bhs, this.#dataLength);
      return true;
    }
    if (opcode === Opcode.scsiResponse)
      this.#dataIn.finish(this.#pdu, bytes, this.#arena.view, bhs);
    this.#deliver(bhs, data, this.#dataLength);
    return true;
  }

  #takePayload(): boolean {
    const length = Math.min(this.#filled - this.#parsed, this.#remaining);
    if (length > 0) {
      this.#arena.bytes.copyWithin(this.#target, this.#parsed, this.#parsed + length);
      this.#tookPayload(this.#target, length);
      this.#parsed += length;
    }
    if (this.#remaining === 0) {
      this.#phase = 'trailer';
      return true;
    }
    this.#needed = Math.min(this.#remaining, directThreshold) + this.#trailerLength();
    this.#direct = this.#remaining >= directThreshold;
    return false;
  }

  /** `length` payload bytes lie in the task's buffer at `offset`. */
  #tookPayload(offset: number, length: number): void {
    if (this.#parameters?.dataDigest === true)
      this.#crc = crc32c(this.#arena.bytes, offset, length, this.#crc);
    this.#dataIn.placed(this.#pdu, length);
    this.#target += length;
    this.#remaining -= length;
  }

  #takeTrailer(): boolean {
    const length = this.#trailerLength();
    if (!this.#has(length)) return false;
    const { bytes, view } = this.#arena;
    const status = hasStatus(bytes, this.#savedBhs);
    if (status && !this.#output.canDeliver(this.#pdu, Opcode.dataIn)) return this.#hold();
    this.#checkDataDigest(this.#crc, this.#parsed);
    this.#parsed += length;
    this.#phase = 'header';
    this.#takeLittle = this.#dataLength >= directThreshold;
    if (!status) return true;
    this.#dataIn.finish(this.#pdu, bytes, view, this.#savedBhs);
    this.#deliver(this.#savedBhs, 0, 0);
    return true;
  }

  #deliver(bhs: number, data: number, dataLength: number): void {
    if (this.#pdu >= 0) this.#slots.answered(this.#pdu);
    this.#output.onPdu(this.#pdu, bhs, data, dataLength);
  }

  /** `crc` is that of the data; padding and digest lie at `trailer` (RFC 7143 §11.2.3: the digest covers the padding). */
  #checkDataDigest(crc: number, trailer: number): void {
    if (this.#dataLength === 0 || this.#parameters?.dataDigest !== true) return;
    const { bytes, view } = this.#arena;
    const padding = paddingOf(this.#dataLength);
    if (crc32c(bytes, trailer, padding, crc) !== digestAt(view, trailer + padding))
      throw new ProtocolError(ConnectionEnd.dataDigestError, 'data digest does not match');
  }

  #hold(): boolean {
    this.#holding = true;
    return false;
  }

  /** Where the next bytes belong. */
  #plan(): void {
    if (this.#direct) {
      this.wantOffset = this.#target;
      this.wantMinimum = this.#remaining;
      this.wantMaximum = this.#remaining;
      return;
    }
    const chunkEnd = this.#chunk + chunkLength;
    const waiting = this.#filled - this.#parsed;
    const minimum = this.#needed - waiting;
    if (waiting === 0 || chunkEnd - this.#filled < Math.max(minimum, comfortableRoom)) {
      this.#arena.bytes.copyWithin(this.#chunk, this.#parsed, this.#filled);
      this.#parsed = this.#chunk;
      this.#filled = this.#chunk + waiting;
    }
    const room = chunkEnd - this.#filled;
    this.wantOffset = this.#filled;
    this.wantMinimum = minimum;
    this.wantMaximum = this.#takeLittle ? Math.max(minimum, Math.min(room, shortReceive)) : room;
  }
}

function crc32cWhenNeeded(
  parameters: FullFeatureParameters | undefined,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  return parameters?.dataDigest === true ? crc32c(bytes, offset, length) : 0;
}
