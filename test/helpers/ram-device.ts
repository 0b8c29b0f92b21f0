/** A block device in memory: what NBD tests serve. It can fail, keep requests back and finish them in any order. */
import type { BlockDevice, BlockGeometry, ExtentList } from '../../src/block/device.ts';
import { BlockError, BlockOperation, RequestTable } from '../../src/block/request-table.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';
import { diskGeometry } from './geometry.ts';

export interface RamDeviceOptions {
  /** Requests that can be in flight; default 256. */
  readonly capacity?: number;
  readonly geometry?: Partial<BlockGeometry>;
  /** Default true: everything is finished at the end of each batch. False: when `finish` is called. */
  readonly automatic?: boolean;
}

export interface Submitted {
  readonly operation: number;
  readonly flags: number;
  readonly offset: number;
  readonly length: number;
}

export class RamDevice implements BlockDevice {
  readonly requests: RequestTable;
  readonly extents: ExtentList & { count: number } = {
    count: 0,
    length: new Float64Array(8192),
    flags: new Uint32Array(8192),
  };
  geometry: BlockGeometry;
  readonly bytes: Uint8Array;
  /** Everything ever submitted, in order; only while `recording`. */
  readonly log: Submitted[] = [];
  recording = true;
  /** Slots that are waiting, oldest first. */
  readonly pending: number[] = [];
  automatic: boolean;
  /** Most requests that were pending at once. */
  peakPending = 0;
  /** The outcome of a request instead of doing it; BlockError.none: do it. */
  fault: (submitted: Submitted) => BlockError = () => BlockError.none;
  /** Extents that blockStatus reports, as [length, flags]. */
  status: readonly (readonly [number, number])[] = [];
  readonly #reactor: Reactor;

  constructor(reactor: Reactor, sizeBytes: number, options: RamDeviceOptions = {}) {
    this.#reactor = reactor;
    this.requests = new RequestTable(options.capacity ?? 256);
    this.bytes = new Uint8Array(sizeBytes);
    this.automatic = options.automatic ?? true;
    this.geometry = diskGeometry(sizeBytes, { knowsAllocation: true, ...options.geometry });
    reactor.addBatchEndListener(() => {
      if (this.automatic) this.finish();
    });
  }

  submit(request: number): void {
    this.pending.push(request);
    this.peakPending = Math.max(this.peakPending, this.pending.length);
    if (this.recording) this.log.push(this.#describe(request));
  }

  /** Finishes the oldest `count` requests (default all), or those that `pick` returns of the pending slots. */
  finish(count = Infinity): void {
    for (let left = Math.min(count, this.pending.length); left > 0; left--) {
      this.#finishOne(this.pending.shift()!);
    }
  }

  /** Finishes the pending request at `index`. */
  finishAt(index: number): void {
    this.#finishOne(this.pending.splice(index, 1)[0]);
  }

  #finishOne(request: number): void {
    const submitted = this.#describe(request);
    const error = this.fault(submitted);
    if (error === BlockError.none) this.#carryOut(request, submitted);
    this.requests.complete(request, error);
  }

  #describe(request: number): Submitted {
    return {
      operation: this.requests.operation[request],
      flags: this.requests.flags[request],
      offset: this.requests.offset[request],
      length: this.requests.length[request],
    };
  }

  #carryOut(request: number, { operation, offset, length }: Submitted): void {
    const arena = this.#reactor.arena.bytes;
    const buffer = this.requests.bufferOffset[request];
    switch (operation) {
      case BlockOperation.read:
        arena.set(this.bytes.subarray(offset, offset + length), buffer);
        return;
      case BlockOperation.write:
        this.bytes.set(arena.subarray(buffer, buffer + length), offset);
        return;
      case BlockOperation.trim:
      case BlockOperation.writeZeroes:
        this.bytes.fill(0, offset, offset + length);
        return;
      case BlockOperation.blockStatus: {
        const status = this.status.length > 0 ? this.status : [[length, 0] as const];
        this.extents.count = status.length;
        status.forEach(([extent, flags], i) => {
          this.extents.length[i] = extent;
          this.extents.flags[i] = flags;
        });
        return;
      }
      default:
    }
  }
}
