import type { ExtentList } from '../block/device.ts';
import { assert } from '../errors.ts';
import type { BufferPool } from '../memory/buffer-pool.ts';
import { noBuffer } from '../memory/buffer-pool.ts';
import type { ObjectId, Reactor } from '../reactor/reactor.ts';
import {
  allocationContextId,
  chunkFlagDone,
  chunkHeaderLength,
  ChunkType,
  simpleReplyLength,
  simpleReplyMagic,
  structuredReplyMagic,
} from './constants.ts';

/** Room for one reply without its payload. */
export const replySlotLength = 64;
const extentLength = 8;
const extentsInSlot = Math.floor((replySlotLength - chunkHeaderLength - 4) / extentLength);
/** A longer list is cut: a server may describe less than was asked (proto.md: NBD_CMD_BLOCK_STATUS). */
const extentLimit = 4096;
/** An extent's length on the wire is 32 bits; kept a multiple of every block length. */
const longestExtent = 0xffff_0000;

/**
 * Replies on their way to the client. Each has a 64-byte slot of a ring for its header; a read's payload is gathered with it.
 * Sends of a stream finish in order, so that only some ask for a completion: those that hold a buffer, every quarter of the
 * ring, and those for which the caller asks. A completion frees everything sent before it too.
 */
export class ReplyRing {
  readonly #reactor: Reactor;
  readonly #pool: BufferPool;
  readonly #stream: ObjectId;
  readonly #memory: number;
  readonly #mask: number;
  readonly #notifyMask: number;
  /** Pool buffer to release once sent, by slot. */
  readonly #buffer: Float64Array;
  readonly #held: Float64Array;
  readonly #view: DataView;
  /** Sequence numbers modulo 2^32: next to be written, oldest not known to be sent. */
  #next = 0;
  #oldest = 0;
  /** One beyond the last one whose completion was asked for. */
  #reported = 0;
  /** Payload bytes of replies not known to be sent. */
  heldBytes = 0;

  /** `capacity` is a power of two, at least 4; `memory` is capacity x 64 bytes of the arena. */
  constructor(
    reactor: Reactor,
    pool: BufferPool,
    stream: ObjectId,
    memory: number,
    capacity: number,
  ) {
    assert(capacity >= 4 && (capacity & (capacity - 1)) === 0, 'reply ring capacity');
    this.#reactor = reactor;
    this.#pool = pool;
    this.#stream = stream;
    this.#memory = memory;
    this.#mask = capacity - 1;
    this.#notifyMask = (capacity >> 2) - 1;
    this.#buffer = new Float64Array(capacity).fill(noBuffer);
    this.#held = new Float64Array(capacity);
    this.#view = reactor.arena.view;
  }

  get capacity(): number {
    return this.#mask + 1;
  }

  /** Replies not known to be sent. */
  get unacknowledged(): number {
    return (this.#next - this.#oldest) >>> 0;
  }

  /** A completion was asked for and has not come. */
  get awaitsCompletion(): boolean {
    return ((this.#reported - this.#oldest) | 0) > 0;
  }

  /** Sequence number of the oldest reply not known to be sent. */
  get oldest(): number {
    return this.#oldest;
  }

  /** magic u32 | error u32 | cookie u64 (proto.md: Simple reply message). */
  simple(cookieHigh: number, cookieLow: number, error: number, notify: boolean): void {
    const at = this.#slot();
    this.#writeSimple(at, cookieHigh, cookieLow, error);
    this.#send(at, simpleReplyLength, 0, 0, noBuffer, notify);
  }

  /** A successful simple reply to READ; `buffer` is released once sent. */
  simpleData(
    cookieHigh: number,
    cookieLow: number,
    buffer: number,
    offset: number,
    length: number,
  ): void {
    const at = this.#slot();
    this.#writeSimple(at, cookieHigh, cookieLow, 0);
    this.#send(at, simpleReplyLength, offset, length, buffer, true);
  }

  /** NBD_REPLY_TYPE_NONE. */
  none(cookieHigh: number, cookieLow: number, notify: boolean): void {
    const at = this.#slot();
    this.#writeChunk(at, ChunkType.none, cookieHigh, cookieLow, 0);
    this.#send(at, chunkHeaderLength, 0, 0, noBuffer, notify);
  }

  /** NBD_REPLY_TYPE_OFFSET_DATA: offset u64 | data. The whole payload is one chunk, as DF wants. */
  offsetData(
    cookieHigh: number,
    cookieLow: number,
    deviceOffsetHigh: number,
    deviceOffsetLow: number,
    buffer: number,
    offset: number,
    length: number,
  ): void {
    const at = this.#slot();
    this.#writeChunk(at, ChunkType.offsetData, cookieHigh, cookieLow, 8 + length);
    this.#view.setUint32(at + chunkHeaderLength, deviceOffsetHigh);
    this.#view.setUint32(at + chunkHeaderLength + 4, deviceOffsetLow);
    this.#send(at, chunkHeaderLength + 8, offset, length, buffer, true);
  }

  /** NBD_REPLY_TYPE_ERROR: error u32 | text length u16 | text. */
  error(
    cookieHigh: number,
    cookieLow: number,
    error: number,
    text: Uint8Array,
    notify: boolean,
  ): void {
    const at = this.#slot();
    const fixed = chunkHeaderLength + 6;
    assert(fixed + text.length <= replySlotLength, 'error text fits a reply slot');
    this.#writeChunk(at, ChunkType.error, cookieHigh, cookieLow, 6 + text.length);
    this.#view.setUint32(at + chunkHeaderLength, error);
    this.#view.setUint16(at + chunkHeaderLength + 4, text.length);
    this.#reactor.arena.bytes.set(text, at + fixed);
    this.#send(at, fixed + text.length, 0, 0, noBuffer, notify);
  }

  /**
   * NBD_REPLY_TYPE_BLOCK_STATUS: context u32 | n x (length u32 | flags u32). What the device says is clipped to the `length`
   * bytes asked; at least one extent is sent.
   */
  blockStatus(
    cookieHigh: number,
    cookieLow: number,
    extents: ExtentList,
    length: number,
    requestOne: boolean,
    notify: boolean,
  ): void {
    const at = this.#slot();
    let count = requestOne ? 1 : Math.min(Math.max(extents.count, 1), extentLimit);
    let buffer = noBuffer;
    if (count > extentsInSlot) {
      buffer = this.#pool.allocate(count * extentLength);
      if (buffer === noBuffer) count = extentsInSlot;
    }
    const fixed = chunkHeaderLength + 4;
    const written = this.#writeExtents(
      buffer === noBuffer ? at + fixed : buffer,
      extents,
      length,
      count,
    );
    const extentBytes = written * extentLength;
    this.#writeChunk(at, ChunkType.blockStatus, cookieHigh, cookieLow, 4 + extentBytes);
    this.#view.setUint32(at + chunkHeaderLength, allocationContextId);
    if (buffer === noBuffer) this.#send(at, fixed + extentBytes, 0, 0, noBuffer, notify);
    else this.#send(at, fixed, buffer, extentBytes, buffer, true);
  }

  /** The send with this tag, and all before it, are with the kernel. */
  onSent(tag: number): void {
    while (this.#oldest !== tag) this.#release();
    this.#release();
  }

  /** Only after the stream is closed: gives back what unsent replies hold. */
  close(): void {
    while (this.#oldest !== this.#next) this.#release();
  }

  #release(): void {
    assert(this.#oldest !== this.#next, 'more replies sent than queued');
    const slot = this.#oldest & this.#mask;
    this.#oldest = (this.#oldest + 1) >>> 0;
    const buffer = this.#buffer[slot];
    if (buffer === noBuffer) return;
    this.#buffer[slot] = noBuffer;
    this.heldBytes -= this.#held[slot];
    this.#pool.release(buffer);
  }

  #slot(): number {
    assert(this.unacknowledged <= this.#mask, 'reply ring overrun');
    return this.#memory + (this.#next & this.#mask) * replySlotLength;
  }

  #send(
    at: number,
    length: number,
    offset2: number,
    length2: number,
    buffer: number,
    notify: boolean,
  ): void {
    const tag = this.#next;
    const slot = tag & this.#mask;
    this.#next = (tag + 1) >>> 0;
    this.#buffer[slot] = buffer;
    if (buffer !== noBuffer) {
      this.#held[slot] = length2;
      this.heldBytes += length2;
    }
    const report = notify || (tag & this.#notifyMask) === this.#notifyMask;
    if (report) this.#reported = this.#next;
    this.#reactor.send(this.#stream, tag, at, length, offset2, length2, report);
  }

  #writeSimple(at: number, cookieHigh: number, cookieLow: number, error: number): void {
    const view = this.#view;
    view.setUint32(at, simpleReplyMagic);
    view.setUint32(at + 4, error);
    view.setUint32(at + 8, cookieHigh);
    view.setUint32(at + 12, cookieLow);
  }

  /** magic u32 | flags u16 | type u16 | cookie u64 | length u32 (proto.md: Structured reply chunk message). */
  #writeChunk(
    at: number,
    type: number,
    cookieHigh: number,
    cookieLow: number,
    length: number,
  ): void {
    const view = this.#view;
    view.setUint32(at, structuredReplyMagic);
    view.setUint16(at + 4, chunkFlagDone);
    view.setUint16(at + 6, type);
    view.setUint32(at + 8, cookieHigh);
    view.setUint32(at + 12, cookieLow);
    view.setUint32(at + 16, length);
  }

  /** Writes at most `limit` extents, returns how many: equal neighbours as they come, empty ones left out. */
  #writeExtents(at: number, extents: ExtentList, length: number, limit: number): number {
    const view = this.#view;
    let left = length;
    let written = 0;
    for (let i = 0; i < extents.count && written < limit && left > 0; i++) {
      const extent = Math.min(extents.length[i], left, longestExtent);
      if (extent <= 0) continue;
      view.setUint32(at + written * extentLength, extent);
      view.setUint32(at + written * extentLength + 4, extents.flags[i]);
      written++;
      left -= extent;
      // What did not fit 32 bits would leave a gap before the next extent.
      if (extent < extents.length[i]) break;
    }
    if (written > 0) return written;
    view.setUint32(at, Math.min(length, longestExtent));
    view.setUint32(at + 4, 0);
    return 1;
  }
}
