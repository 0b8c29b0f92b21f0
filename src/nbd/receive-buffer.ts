import { assert } from '../errors.ts';
import type { BufferPool } from '../memory/buffer-pool.ts';
import { noBuffer } from '../memory/buffer-pool.ts';
import type { ObjectId, Reactor } from '../reactor/reactor.ts';
import { NbdCounter } from './counters.ts';
import { requestHeaderLength } from './constants.ts';

/** Small receives after a large payload before reading ahead in bulk again. */
const smallReceivesUntilBulk = 16;
/** How far to read beyond what is needed while payloads are large: a few headers, so that little payload has to move. */
const carefulReadAhead = 8 * requestHeaderLength;

/**
 * Where a connection's bytes land and are used. There is one current chunk:
 *
 *   chunk ........ position ........ position+available ........ end
 *         consumed           landed                     free
 *
 * Bulk: many small requests per receive; each write payload is used where it landed and retains the chunk. Exact: a payload
 * that does not fit gets a buffer of its own with room for the next header, and the rest is received right there; while
 * payloads are large, little is read ahead, so that only headers ever move.
 */
export class ReceiveBuffer {
  /** Arena offset of the first byte not consumed. */
  position = 0;
  /** Landed and not consumed. */
  available = 0;
  /** Receives that have completed. */
  completed = 0;
  /** A receive is under way: nothing may be moved. */
  posted = false;
  readonly #reactor: Reactor;
  readonly #pool: BufferPool;
  readonly #chunkLength: number;
  readonly #counters: Float64Array;
  #stream: ObjectId = -1;
  #chunk = noBuffer;
  #end = 0;
  /** Requests that use the current chunk. */
  #users = 0;
  /** The current chunk was made for one payload. */
  #exact = false;
  #careful = 0;

  constructor(reactor: Reactor, pool: BufferPool, chunkLength: number, counters: Float64Array) {
    this.#reactor = reactor;
    this.#pool = pool;
    this.#chunkLength = chunkLength;
    this.#counters = counters;
  }

  /** Receives of this stream from now on. */
  open(stream: ObjectId): void {
    this.#stream = stream;
  }

  /**
   * Starts a receive after which at least `needed` contiguous bytes are available, and at most `limit`. False when the pool has
   * no buffer now. Call only with needed > available. `eager`: complete with the first byte, so that nothing waits half
   * received where nobody sees it.
   */
  receive(needed: number, limit: number, eager = false): boolean {
    assert(!this.posted && needed > this.available, 'NBD receive');
    if (!this.#makeRoom(needed)) return false;
    const landed = this.position + this.available;
    let maximum = Math.min(this.#end - landed, limit - this.available);
    const minimum = eager ? 1 : needed - this.available;
    if (this.#careful > 0) {
      this.#careful--;
      maximum = Math.min(maximum, minimum + carefulReadAhead);
    }
    this.posted = true;
    this.#reactor.receive(this.#stream, landed, minimum, maximum);
    return true;
  }

  onReceived(length: number): void {
    this.posted = false;
    this.available += length;
    this.completed++;
    this.#counters[NbdCounter.receives]++;
  }

  consume(length: number): void {
    this.position += length;
    this.available -= length;
  }

  /** The chunk that holds the bytes at `position`, with a reference more for a request; give it back by `giveBack`. */
  lend(): number {
    this.#users++;
    this.#pool.retain(this.#chunk);
    return this.#chunk;
  }

  giveBack(buffer: number): void {
    if (buffer === this.#chunk) this.#users--;
    this.#pool.release(buffer);
  }

  /**
   * To be called when the connection has to wait before it can go on with what has landed. That is a header, perhaps not even
   * a whole one, when the chunk was made for a payload: such a chunk must not be kept from those who wait for memory.
   */
  shrink(): void {
    const kept = this.#end - this.#chunk;
    if (!this.#exact || this.posted || this.#chunk === noBuffer || kept <= this.#chunkLength)
      return;
    if (this.available === 0) {
      this.#letGo();
      return;
    }
    const chunk = this.#pool.allocate(this.available);
    if (chunk === noBuffer) return;
    this.#moveTo(chunk);
    this.#letGo();
    this.#chunk = chunk;
    this.#end = chunk + this.available;
  }

  /** Only after the stream is closed. Chunks that requests still use stay theirs. */
  close(): void {
    if (this.#chunk !== noBuffer) this.#pool.release(this.#chunk);
    this.#chunk = noBuffer;
    this.available = 0;
    this.posted = false;
  }

  #makeRoom(needed: number): boolean {
    const large = needed * 4 >= this.#chunkLength;
    // An idle connection waits on a small chunk, not on the tail of a large payload.
    const leave = this.#exact && this.available === 0 && !large;
    if (this.#chunk !== noBuffer && !leave) {
      if (this.#users === 0 && !this.#exact) {
        const start = this.#chunk;
        if (this.available === 0) this.position = start;
        else if (needed > this.#end - this.position && needed <= this.#end - start) {
          this.#moveTo(start);
        }
      }
      if (needed <= this.#end - this.position) return true;
    }
    return this.#replaceChunk(needed, large);
  }

  #replaceChunk(needed: number, large: boolean): boolean {
    const length = large ? needed + requestHeaderLength : this.#chunkLength;
    // Who waits for memory must not sit on memory: two who wait for each other's would wait for ever.
    if (this.available === 0) this.#letGo();
    const chunk = this.#pool.allocate(length);
    if (chunk === noBuffer) return false;
    this.#moveTo(chunk);
    this.#letGo();
    this.#chunk = chunk;
    this.#end = chunk + length;
    this.#users = 0;
    this.#exact = large;
    if (large) this.#careful = smallReceivesUntilBulk;
    return true;
  }

  /** Requests that use the chunk keep it until they are done. */
  #letGo(): void {
    if (this.#chunk !== noBuffer) this.#pool.release(this.#chunk);
    this.#chunk = noBuffer;
    this.#users = 0;
  }

  #moveTo(start: number): void {
    if (this.available > 0) {
      const { bytes } = this.#reactor.arena;
      bytes.copyWithin(start, this.position, this.position + this.available);
      this.#counters[NbdCounter.bytesMoved] += this.available;
    }
    this.position = start;
  }
}
