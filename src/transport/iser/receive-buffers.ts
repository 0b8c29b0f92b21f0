import { controlHeaderLength } from '../../iser/header.ts';
import { type BufferPool, noBuffer } from '../../memory/buffer-pool.ts';
import { RegistrationAccess } from '../../memory/registration.ts';
import type { ObjectId, Reactor } from '../../reactor/reactor.ts';

/** Largest data segment that a target may SEND: InitiatorRecvDataSegmentLength (RFC 7145 §6.5), in login §13.12's 8192 too. */
export const receiveDataSegmentLength = 8192;

/** Header, data and at most 3 bytes of padding, rounded up to a cache line. */
export const receiveLength = (controlHeaderLength + receiveDataSegmentLength + 3 + 63) & ~63;

/** Receives per allocation and registration: 15 of them fill a power of two. */
const receivesPerBlock = 15;

interface Block {
  readonly buffer: number;
  readonly region: number;
}

/** The untagged buffers of one connection, registered when they are made and until the queue pair is gone. */
export class ReceiveBuffers {
  readonly #reactor: Reactor;
  readonly #pool: BufferPool;
  readonly #protectionDomain: number;
  readonly #offset: Uint32Array;
  readonly #lkey: Uint32Array;
  readonly #blocks: Block[] = [];
  #count = 0;
  /** Receives that the device holds. */
  posted = 0;

  constructor(reactor: Reactor, pool: BufferPool, protectionDomain: number, capacity: number) {
    this.#reactor = reactor;
    this.#pool = pool;
    this.#protectionDomain = protectionDomain;
    this.#offset = new Uint32Array(capacity);
    this.#lkey = new Uint32Array(capacity);
  }

  get count(): number {
    return this.#count;
  }

  /** Makes buffers until there are `count`; false when the pool has no memory. Throws NativeError. */
  grow(count: number): boolean {
    while (this.#count < count) {
      const more = Math.min(receivesPerBlock, count - this.#count);
      const buffer = this.#pool.allocate(more * receiveLength);
      if (buffer === noBuffer) return false;
      this.#addBlock(buffer, more);
    }
    return true;
  }

  #addBlock(buffer: number, receives: number): void {
    let region: { readonly id: number; readonly lkey: number };
    try {
      region = this.#reactor.registerMemory(
        this.#protectionDomain,
        buffer,
        receives * receiveLength,
        RegistrationAccess.localWrite,
      );
    } catch (error) {
      this.#pool.release(buffer);
      throw error;
    }
    this.#blocks.push({ buffer, region: region.id });
    for (let i = 0; i < receives; i++) {
      this.#offset[this.#count] = buffer + i * receiveLength;
      this.#lkey[this.#count] = region.lkey;
      this.#count++;
    }
  }

  /** Arena offset of the receive with this tag. */
  offset(tag: number): number {
    return this.#offset[tag];
  }

  post(connection: ObjectId, tag: number): void {
    this.posted++;
    this.#reactor.rdmaReceive(connection, tag, this.#offset[tag], receiveLength, this.#lkey[tag]);
  }

  /** Only after the queue pair is destroyed. */
  release(): void {
    for (const { buffer, region } of this.#blocks) {
      this.#reactor.deregisterMemory(region);
      this.#pool.release(buffer);
    }
    this.#blocks.length = 0;
    this.#count = 0;
    this.posted = 0;
  }
}
