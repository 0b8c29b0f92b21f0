/** Requests to a block device, so many at a time for so long: what `iserctl bench` measures. */
import { randomFillSync } from 'node:crypto';
import type { BlockDevice } from '../../../src/block/device.ts';
import { BlockError, BlockOperation, type RequestOwner } from '../../../src/block/request-table.ts';
import { assert, CodedError } from '../../../src/errors.ts';
import { Histogram } from '../../../src/histogram.ts';
import { noBuffer, type BufferPool } from '../../../src/memory/buffer-pool.ts';
import type { ArenaMemory } from '../../../src/reactor/reactor.ts';

export interface Workload {
  readonly operation: 'read' | 'write';
  readonly order: 'random' | 'sequential';
  readonly blockBytes: number;
  /** Requests in flight. */
  readonly depth: number;
}

export interface LoadResult {
  readonly workload: Workload;
  readonly requests: number;
  /** From the first counted submission to the last completion. */
  readonly seconds: number;
  readonly latency: Histogram;
}

/** What a load runs on; all of one lane. */
export interface LoadGround {
  readonly device: BlockDevice;
  readonly pool: BufferPool;
  readonly arena: ArenaMemory;
}

/** By BlockError. */
const errorNames = Object.entries(BlockError);

export function blockErrorName(error: number): string {
  return errorNames.find(([, value]) => value === error)?.[0] ?? `error ${error}`;
}

/** One workload; used once. */
export class Load implements RequestOwner {
  readonly #ground: LoadGround;
  readonly #workload: Workload;
  /** Milliseconds. */
  readonly #now: () => number;
  readonly #latency = new Histogram();
  /** By request slot: when it was submitted, and that it counts. */
  readonly #submittedMs: Float64Array;
  readonly #operation: BlockOperation;
  readonly #blocks: number;
  #next = 0;
  #inFlight = 0;
  #countFromMs = 0;
  #endMs = 0;
  /** When the last counted request has ended. */
  readonly #lastMs = new Float64Array(1);
  #settle: ((failure: CodedError | undefined) => void) | undefined;
  #failure: CodedError | undefined;

  /** Throws CodedError when the device is smaller than a block of the workload. */
  constructor(ground: LoadGround, workload: Workload, now = (): number => performance.now()) {
    this.#now = now;
    this.#ground = ground;
    this.#workload = workload;
    this.#submittedMs = new Float64Array(ground.device.requests.capacity);
    this.#operation = BlockOperation[workload.operation];
    this.#blocks = Math.floor(ground.device.geometry.sizeBytes / workload.blockBytes);
    if (this.#blocks === 0) {
      throw new CodedError(
        'bench-too-small',
        `the logical unit is smaller than one request of ${workload.blockBytes} bytes`,
      );
    }
  }

  /** Requests counted so far. */
  get requests(): number {
    return this.#latency.count;
  }

  /**
   * Runs the load for `warmUpMs` that do not count and `milliseconds` that do. Rejects with a CodedError at the first request
   * that fails; nothing is in flight any more then.
   */
  async run(warmUpMs: number, milliseconds: number): Promise<LoadResult> {
    const { pool, arena, device } = this.#ground;
    const { depth, blockBytes, operation } = this.#workload;
    const buffers: number[] = [];
    try {
      for (let i = 0; i < depth; i++) {
        const buffer = pool.allocate(blockBytes);
        assert(buffer !== noBuffer, 'the lane has memory for the load');
        buffers.push(buffer);
        // What a target could store as a run of zeroes, or store once, would say little.
        if (operation === 'write') randomFillSync(arena.bytes, buffer, blockBytes);
      }
      this.#countFromMs = this.#now() + warmUpMs;
      this.#endMs = this.#countFromMs + milliseconds;
      const ended = new Promise<CodedError | undefined>((resolve) => {
        this.#settle = resolve;
      });
      for (const buffer of buffers) {
        const request = device.requests.allocate(this);
        assert(request >= 0, 'the lane has request slots for the load');
        this.#inFlight++;
        this.#submit(request, buffer);
      }
      const failure = await ended;
      if (failure !== undefined) throw failure;
    } finally {
      for (const buffer of buffers) pool.release(buffer);
    }
    return {
      workload: this.#workload,
      requests: this.#latency.count,
      seconds: (this.#lastMs[0] - this.#countFromMs) / 1000,
      latency: this.#latency,
    };
  }

  onRequestDone(request: number): void {
    const { requests } = this.#ground.device;
    const now = this.#now();
    const error = requests.error[request];
    if (error !== BlockError.none) {
      const { operation, blockBytes } = this.#workload;
      this.#failure ??= new CodedError(
        'bench-request-failed',
        `a ${operation} of ${blockBytes} bytes at offset ${requests.offset[request]} failed: ${blockErrorName(error)}`,
      );
    } else if (this.#submittedMs[request] >= this.#countFromMs) {
      this.#lastMs[0] = now;
      this.#latency.record(this.#submittedMs, request, this.#lastMs);
    }
    const buffer = requests.bufferOffset[request];
    if (this.#failure === undefined && now < this.#endMs) {
      this.#submit(request, buffer);
      return;
    }
    requests.free(request);
    if (--this.#inFlight === 0) this.#settle?.(this.#failure);
  }

  /** A slot is used again and again by the same request. */
  #submit(request: number, buffer: number): void {
    const { requests } = this.#ground.device;
    const { blockBytes, order } = this.#workload;
    const block = order === 'random' ? Math.floor(Math.random() * this.#blocks) : this.#next;
    this.#next = this.#next + 1 === this.#blocks ? 0 : this.#next + 1;
    requests.operation[request] = this.#operation;
    requests.error[request] = BlockError.none;
    requests.offset[request] = block * blockBytes;
    requests.length[request] = blockBytes;
    requests.bufferOffset[request] = buffer;
    this.#submittedMs[request] = this.#now();
    this.#ground.device.submit(request);
  }
}

/** Reads a range once. Rejects with a CodedError when that fails. */
export async function readRange(
  { device, pool, arena }: LoadGround,
  offset: number,
  length: number,
): Promise<Uint8Array> {
  const { requests } = device;
  const buffer = pool.allocate(length);
  assert(buffer !== noBuffer, 'the lane has memory for a read');
  try {
    const error = await new Promise<number>((resolve) => {
      const request = requests.allocate({
        onRequestDone: (done) => {
          const outcome = requests.error[done];
          requests.free(done);
          resolve(outcome);
        },
      });
      assert(request >= 0, 'the lane has a request slot for a read');
      requests.operation[request] = BlockOperation.read;
      requests.offset[request] = offset;
      requests.length[request] = length;
      requests.bufferOffset[request] = buffer;
      device.submit(request);
    });
    if (error !== BlockError.none) {
      throw new CodedError(
        'read-failed',
        `a read of ${length} bytes at offset ${offset} failed: ${blockErrorName(error)}`,
      );
    }
    return arena.bytes.slice(buffer, buffer + length);
  } finally {
    pool.release(buffer);
  }
}
