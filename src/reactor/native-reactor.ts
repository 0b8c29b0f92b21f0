/**
 * The reactor over the native addon: queues submissions in the shared array, and turns completion entries into calls of sinks.
 *
 * What is queued while completions are dispatched is carried out when the dispatch returns, in the same crossing. What is queued
 * outside a dispatch is carried out by one microtask. Either way its completions come in a later turn.
 */
import {
  CompletionKind,
  completionWords,
  CompletionWord,
  ControlWord,
  Operation,
  SubmissionFlag,
  submissionWords,
  SubmissionWord,
} from './layout.ts';
import type { Native, NativeArena, NativeReactor as NativeReactorObject } from './native.ts';
import type {
  ArenaMemory,
  DeviceLimits,
  ListenerSink,
  MemoryRegion,
  ObjectId,
  QueuePairLimits,
  RdmaConnectParameters,
  RdmaSink,
  Reactor,
  StreamSink,
} from './reactor.ts';
import { SinkTable } from './sink-table.ts';

export interface NativeReactorOptions {
  readonly native: Native;
  /** Stays the caller's: closed by it after `closeAll`. */
  readonly arena: NativeArena;
  /** Entries of the submission and of the completion array: how much one crossing carries. */
  readonly capacity: number;
  /** How long to poll before sleeping while `polling`, in microseconds; 0 = never. */
  readonly spinMicroseconds: number;
}

/** About the time in which a target answers several requests. Twice as much gathers no more, a third of it less (test/bench/README.md). */
const gatherMicroseconds = 30;

export class NativeReactor implements Reactor {
  readonly arena: ArenaMemory;
  turn = 0;
  #lastTurn = 0;
  readonly #native: NativeReactorObject;
  readonly #capacity: number;
  readonly #spinMicroseconds: number;
  readonly #submissions: Uint32Array;
  readonly #completions: Uint32Array;
  readonly #control: Uint32Array;
  readonly #streams = new SinkTable<StreamSink>();
  readonly #listeners = new SinkTable<ListenerSink>();
  readonly #connections = new SinkTable<RdmaSink>();
  /** Submission entries filled in and not yet carried out. */
  #queued = 0;
  #dispatching = false;
  /** The batch being dispatched: entries from #position on have not been looked at. */
  #position = 0;
  #count = 0;
  #flushScheduled = false;
  #closed = false;
  /** Replaced, not changed, so that a listener may add or remove one while they are called. */
  #batchEndListeners: readonly (() => void)[] = [];
  readonly #flush = (): void => {
    this.#flushScheduled = false;
    if (this.#queued > 0) this.#carryOut();
  };

  constructor(options: NativeReactorOptions) {
    const { native, arena, capacity, spinMicroseconds } = options;
    this.#native = new native.Reactor(arena, capacity, (count) => this.#onCompletions(count));
    this.#capacity = capacity;
    this.#spinMicroseconds = spinMicroseconds;
    this.#submissions = this.#native.submissions;
    this.#completions = this.#native.completions;
    this.#control = this.#native.control;
    this.polling = true;
    this.arena = {
      sizeBytes: arena.buffer.byteLength,
      bytes: new Uint8Array(arena.buffer),
      view: new DataView(arena.buffer),
      base: arena.base,
    };
  }

  get gathering(): boolean {
    return this.#control[ControlWord.gatherMicroseconds] > 0;
  }

  set gathering(wanted: boolean) {
    this.#control[ControlWord.gatherMicroseconds] = wanted ? gatherMicroseconds : 0;
  }

  get polling(): boolean {
    return this.#control[ControlWord.spinMicroseconds] > 0;
  }

  set polling(wanted: boolean) {
    this.#control[ControlWord.spinMicroseconds] = wanted ? this.#spinMicroseconds : 0;
  }

  /** Streams, listeners and RDMA connections that are open. */
  get openObjects(): number {
    return this.#native.openObjects;
  }

  /** The fd is the reactor's from here on, also when this throws. */
  openStream(fd: number, sink: StreamSink): ObjectId {
    return this.#streams.set(this.#native.openStream(fd), sink);
  }

  connectStream(address: string, port: number, sink: StreamSink): ObjectId {
    return this.#streams.set(this.#native.connectStream(address, port), sink);
  }

  /** The fd is the reactor's from here on, also when this throws. */
  openListener(fd: number, sink: ListenerSink): ObjectId {
    return this.#listeners.set(this.#native.openListener(fd), sink);
  }

  close(object: ObjectId): void {
    if (this.#closed) return;
    this.#streams.delete(object);
    this.#listeners.delete(object);
    this.#connections.delete(object);
    this.#native.closeObject(object);
  }

  descriptorFreed(): void {
    if (!this.#closed) this.#native.descriptorFreed();
  }

  receive(stream: ObjectId, offset: number, minimumLength: number, maximumLength: number): void {
    const entry = this.#entry(Operation.receive, stream, 0, offset, maximumLength);
    this.#submissions[entry + SubmissionWord.minimumLength] = minimumLength;
  }

  cancelReceive(stream: ObjectId): void {
    this.#entry(Operation.cancelReceive, stream, 0, 0, 0);
  }

  send(
    stream: ObjectId,
    tag: number,
    offset: number,
    length: number,
    offset2: number,
    length2: number,
    notify: boolean,
  ): void {
    const submissions = this.#submissions;
    const entry = this.#entry(Operation.send, stream, tag, offset, length);
    submissions[entry + SubmissionWord.offset2] = offset2;
    submissions[entry + SubmissionWord.length2] = length2;
    submissions[entry + SubmissionWord.flags] = notify ? SubmissionFlag.notify : 0;
  }

  rdmaOpen(sink: RdmaSink): ObjectId {
    return this.#connections.set(this.#native.rdmaOpen(), sink);
  }

  rdmaResolveAddress(connection: ObjectId, address: string, port: number, timeoutMs: number): void {
    this.#native.rdmaResolveAddress(connection, address, port, timeoutMs);
  }

  rdmaCreateQueuePair(connection: ObjectId, limits: QueuePairLimits): number {
    return this.#native.rdmaCreateQueuePair(connection, limits);
  }

  rdmaResolveRoute(connection: ObjectId, timeoutMs: number): void {
    this.#native.rdmaResolveRoute(connection, timeoutMs);
  }

  rdmaConnect(connection: ObjectId, parameters: RdmaConnectParameters): void {
    this.#native.rdmaConnect(connection, parameters);
  }

  rdmaDisconnect(connection: ObjectId): void {
    this.#native.rdmaDisconnect(connection);
  }

  rdmaSend(
    connection: ObjectId,
    tag: number,
    offset: number,
    length: number,
    key: number,
    offset2: number,
    length2: number,
    key2: number,
  ): void {
    const submissions = this.#submissions;
    const entry = this.#entry(Operation.rdmaSend, connection, tag, offset, length);
    submissions[entry + SubmissionWord.key] = key;
    submissions[entry + SubmissionWord.offset2] = offset2;
    submissions[entry + SubmissionWord.length2] = length2;
    submissions[entry + SubmissionWord.key2] = key2;
    // What fits is copied into the work request, which saves the device a read; what does not is sent from memory all the same.
    submissions[entry + SubmissionWord.flags] = SubmissionFlag.inline;
  }

  rdmaReceive(
    connection: ObjectId,
    tag: number,
    offset: number,
    length: number,
    key: number,
  ): void {
    const entry = this.#entry(Operation.rdmaReceive, connection, tag, offset, length);
    this.#submissions[entry + SubmissionWord.key] = key;
  }

  rdmaDeviceLimits(protectionDomain: number): DeviceLimits {
    return this.#native.rdmaDeviceLimits(protectionDomain);
  }

  registerMemory(
    protectionDomain: number,
    offset: number,
    length: number,
    access: number,
  ): MemoryRegion {
    return this.#native.registerMemory(protectionDomain, offset, length, access);
  }

  deregisterMemory(region: number): void {
    this.#native.deregisterMemory(region);
  }

  addBatchEndListener(listener: () => void): void {
    this.#batchEndListeners = [...this.#batchEndListeners, listener];
  }

  removeBatchEndListener(listener: () => void): void {
    this.#batchEndListeners = this.#batchEndListeners.filter((other) => other !== listener);
  }

  closeAll(): void {
    if (this.#closed) return;
    // Descriptors in the rest of the batch would have no owner.
    for (; this.#position < this.#count; this.#position++) {
      const entry = this.#position * completionWords;
      if (this.#completions[entry + CompletionWord.kind] !== CompletionKind.accept) continue;
      const fd = this.#completions[entry + CompletionWord.result] | 0;
      this.#dispatchAccepted(undefined, fd, this.#completions[entry + CompletionWord.status]);
    }
    this.#closed = true;
    this.#queued = 0;
    this.#streams.clear();
    this.#listeners.clear();
    this.#connections.clear();
    this.#native.close();
  }

  /** Takes the next submission entry, fills in what all operations have, and returns the index of its first word. */
  #entry(operation: number, object: ObjectId, tag: number, offset: number, length: number): number {
    // A full array is carried out at once; its completions are delivered no earlier for it.
    if (this.#queued === this.#capacity) this.#carryOut();
    if (!this.#dispatching && !this.#flushScheduled) {
      this.#flushScheduled = true;
      queueMicrotask(this.#flush);
    }
    const entry = this.#queued++ * submissionWords;
    const submissions = this.#submissions;
    submissions[entry + SubmissionWord.operation] = operation;
    submissions[entry + SubmissionWord.object] = object;
    submissions[entry + SubmissionWord.tag] = tag;
    submissions[entry + SubmissionWord.offset] = offset;
    submissions[entry + SubmissionWord.length] = length;
    return entry;
  }

  #carryOut(): void {
    const count = this.#queued;
    this.#queued = 0;
    if (!this.#closed) this.#native.submit(count);
  }

  /** Dispatches `count` completion entries; returns how many submission entries are to be carried out. */
  #onCompletions(count: number): number {
    this.#dispatching = true;
    this.#beginTurn();
    this.#count = count;
    for (this.#position = 0; this.#position < this.#count;) {
      try {
        this.#dispatch(this.#position++ * completionWords);
      } catch (error) {
        reportLater(error);
      }
    }
    this.#beginTurn();
    for (const listener of this.#batchEndListeners) {
      try {
        listener();
      } catch (error) {
        reportLater(error);
      }
    }
    this.#dispatching = false;
    this.turn = 0;
    const queued = this.#queued;
    this.#queued = 0;
    return queued;
  }

  /** Small integers, never 0. */
  #beginTurn(): void {
    this.#lastTurn = (this.#lastTurn + 1) & 0x3fff_ffff;
    this.turn = this.#lastTurn + 1;
  }

  #dispatch(entry: number): void {
    const completions = this.#completions;
    const object = completions[entry + CompletionWord.object];
    const tag = completions[entry + CompletionWord.tag];
    const result = completions[entry + CompletionWord.result];
    const status = completions[entry + CompletionWord.status];
    // A sink that is gone: the object was closed earlier in this batch.
    switch (completions[entry + CompletionWord.kind]) {
      case CompletionKind.receive:
        this.#streams.get(object)?.onReceived(result, status);
        break;
      case CompletionKind.send:
        this.#streams.get(object)?.onSent(tag, status);
        break;
      case CompletionKind.rdmaReceive:
        this.#connections
          .get(object)
          ?.onRdmaReceived(tag, result, status, completions[entry + CompletionWord.detail]);
        break;
      case CompletionKind.rdmaSend:
        this.#connections
          .get(object)
          ?.onRdmaSent(tag, status, completions[entry + CompletionWord.detail]);
        break;
      case CompletionKind.accept:
        this.#dispatchAccepted(this.#listeners.get(object), result | 0, status);
        break;
      case CompletionKind.connect:
        this.#streams.get(object)?.onConnected(status);
        break;
      case CompletionKind.cmEvent:
        this.#connections.get(object)?.onCmEvent(result, status | 0);
        break;
      case CompletionKind.deviceEvent:
        this.#connections.get(object)?.onDeviceEvent(result);
        break;
    }
  }

  #dispatchAccepted(sink: ListenerSink | undefined, fd: number, status: number): void {
    if (sink !== undefined) sink.onAccepted(fd, status);
    else if (status === 0) this.#native.closeObject(this.#native.openStream(fd));
  }
}

/** A sink that throws is a bug of ours: the process hears of it, the other completions of the batch are dispatched. */
function reportLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
