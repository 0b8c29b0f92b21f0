import type { BatchClock } from '../batch-clock.ts';
import { BlockOperation, type RequestTable } from '../block/request-table.ts';
import { Histogram } from '../histogram.ts';

/** Kinds of requests whose times are kept apart. `other`: trim, write zeroes, cache and block status. */
export const latencyKinds = ['read', 'write', 'flush', 'other'] as const;
export type LatencyKind = (typeof latencyKinds)[number];

/**
 * How long requests take: from the receive that brought a request's header to its reply being queued, those that failed
 * included. Requests refused without asking the device are not counted. Shared by all clients of a volume on one thread.
 */
export class RequestLatencies {
  readonly clock: BatchClock;
  readonly histograms: Readonly<Record<LatencyKind, Histogram>> = {
    read: new Histogram(),
    write: new Histogram(),
    flush: new Histogram(),
    other: new Histogram(),
  };
  readonly #byOperation: readonly Histogram[];

  constructor(clock: BatchClock) {
    this.clock = clock;
    const { read, write, flush, other } = this.histograms;
    const byOperation = new Array<Histogram>(BlockOperation.cache + 1).fill(other);
    byOperation[BlockOperation.read] = read;
    byOperation[BlockOperation.write] = write;
    byOperation[BlockOperation.flush] = flush;
    this.#byOperation = byOperation;
  }

  /** The request has just been answered. */
  record(requests: RequestTable, request: number): void {
    this.clock.update();
    const histogram = this.#byOperation[requests.operation[request]];
    histogram.record(requests.receivedMs, request, this.clock.nowMs);
  }
}
