/**
 * Request buffers out of the arena. A buffer is named by the arena offset of its first byte; it has a reference count, because
 * one receive buffer may hold the payloads of many requests. No allocation on the JavaScript heap after construction.
 */
export const noBuffer = -1;

export interface BufferPool {
  /** Largest length that `allocate` can ever satisfy. */
  readonly maximumLength: number;
  /** Offset of a buffer of at least `length` bytes with one reference, 64-byte aligned; or `noBuffer` when none is free now. */
  allocate(length: number): number;
  /** Adds a reference; `buffer` is what allocate returned. */
  retain(buffer: number): void;
  /** Drops a reference; at zero the buffer is free and waiters are told. */
  release(buffer: number): void;
  /** Usable length of an allocated buffer (its size class, at least what was asked for). */
  lengthOf(buffer: number): number;
  /** Calls `listener` once, in a later turn of the batch, after some buffer has become free. Added once per owner; see `wait`. */
  addWaiter(waiter: BufferWaiter): void;
  readonly statistics: BufferPoolStatistics;
}

export interface BufferWaiter {
  /** Memory has become free: try again (and add yourself again if it was not enough). */
  onBuffersAvailable(): void;
}

export interface BufferPoolStatistics {
  readonly totalBytes: number;
  usedBytes: number;
  peakUsedBytes: number;
  failures: number;
}
