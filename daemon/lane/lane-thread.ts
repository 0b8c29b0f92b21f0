import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { CodedError } from '../../src/errors.ts';
import { laneHeapOptions } from './heap.ts';
import type { LaneEvent, LaneMessage, LaneMethod, LaneMethods, LaneOptions } from './messages.ts';

interface Pending {
  readonly resolve: (result: never) => void;
  readonly reject: (error: Error) => void;
}

/** What the main thread needs of a lane. */
export interface LanePort {
  call<M extends LaneMethod>(method: M, parameters: LaneMethods[M][0]): Promise<LaneMethods[M][1]>;
  /** Resolves when the lane is gone. */
  close(): Promise<void>;
}

/** Makes the lane of this index. */
export type LaneFactory = (
  index: number,
  onEvent: (event: LaneEvent) => void,
  onCrash: (error: Error) => void,
) => LanePort;

/**
 * The main thread's end of a lane: one worker thread, calls answered in any order. When the worker ends unasked every call
 * is rejected and `onCrash` is told.
 */
export class LaneThread implements LanePort {
  readonly index: number;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  #sequence = 0;
  #closing = false;
  /** Set when the thread is gone. */
  #end: Error | undefined;

  constructor(
    index: number,
    options: LaneOptions,
    onEvent: (event: LaneEvent) => void,
    onCrash: (error: Error) => void,
    entry = new URL('./lane-worker.js', import.meta.url),
  ) {
    this.index = index;
    for (const option of laneHeapOptions(options.lanes)) setFlagsFromString(option);
    this.#worker = new Worker(entry, {
      workerData: options,
      name: `lane-${index}`,
    });
    this.#worker.on('message', (message: LaneMessage) => {
      if ('event' in message) onEvent(message);
      else this.#settle(message);
    });
    let failure: Error | undefined;
    this.#worker.on('error', (error: Error) => {
      failure = error;
    });
    this.#exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        const error = failure ?? new Error(`lane ${index} ended with code ${code}`);
        this.#end = error;
        for (const { reject } of this.#pending.values()) reject(error);
        this.#pending.clear();
        resolve();
        if (!this.#closing) onCrash(error);
      });
    });
  }

  call<M extends LaneMethod>(method: M, parameters: LaneMethods[M][0]): Promise<LaneMethods[M][1]> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const sequence = this.#sequence++;
    return new Promise((resolve, reject) => {
      this.#pending.set(sequence, { resolve, reject });
      this.#worker.postMessage({ sequence, method, parameters });
    });
  }

  /** Ends the lane; resolves when its thread is gone. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.call('close', {}).catch(() => undefined);
    await this.#exited;
  }

  #settle(reply: Exclude<LaneMessage, LaneEvent>): void {
    const pending = this.#pending.get(reply.sequence);
    this.#pending.delete(reply.sequence);
    if (pending === undefined) return;
    if ('failure' in reply)
      pending.reject(new CodedError(reply.failure.code, reply.failure.message));
    else pending.resolve(reply.result as never);
  }
}
