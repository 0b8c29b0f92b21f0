/**
 * Arena memory of a translator besides payload: parameter lists and GET LBA STATUS answers (one slot per task that needs one),
 * and zeroes to write.
 */
import { CodedError, assert } from '../errors.ts';
import { noBuffer, type BufferPool } from '../memory/buffer-pool.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';

/** Bytes: 63 GET LBA STATUS descriptors, or an UNMAP parameter list. */
export const scratchSlotLength = 1024;

export class ScratchSlots {
  readonly #pool: BufferPool;
  readonly #buffer: number;
  readonly #free: Int32Array;
  #freeCount: number;

  /** Throws when the pool cannot give the memory: there must be enough for every volume at start. */
  constructor(pool: BufferPool, count: number) {
    this.#pool = pool;
    this.#buffer = allocateOrThrow(pool, count * scratchSlotLength, 'parameter lists');
    this.#free = Int32Array.from({ length: count }, (_, index) => count - 1 - index);
    this.#freeCount = count;
  }

  /** A slot, or -1 when all are in use. */
  take(): number {
    return this.#freeCount === 0 ? -1 : this.#free[--this.#freeCount];
  }

  /** Only when no task uses the slot any more. */
  giveBack(slot: number): void {
    assert(this.#freeCount < this.#free.length, 'scratch slot given back twice');
    this.#free[this.#freeCount++] = slot;
  }

  /** Arena offset of a slot. */
  offsetOf(slot: number): number {
    return this.#buffer + slot * scratchSlotLength;
  }

  close(): void {
    assert(this.#freeCount === this.#free.length, 'scratch memory closed while in use');
    this.#pool.release(this.#buffer);
  }
}

/** Zeroes in the arena that nobody ever writes to; shared by all devices of a lane. */
export interface ZeroBuffer {
  /** Arena offset. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** A zero buffer for the life of the arena. */
export function allocateZeroBuffer(
  arena: ArenaMemory,
  pool: BufferPool,
  length: number,
): ZeroBuffer {
  const offset = allocateOrThrow(pool, length, 'zeroes');
  arena.bytes.fill(0, offset, offset + length);
  return { offset, length };
}

function allocateOrThrow(pool: BufferPool, length: number, purpose: string): number {
  const buffer = length <= pool.maximumLength ? pool.allocate(length) : noBuffer;
  if (buffer === noBuffer) {
    throw new CodedError(
      'arena-too-small',
      `the arena has no ${length} bytes left for ${purpose}: give the lane more memory`,
    );
  }
  return buffer;
}
