/**
 * A reactor without native code, sockets or devices: what a test of anything above src/reactor runs on. The test holds the
 * other ends (FakeStreamPeer, FakeListenerSocket, FakeRdmaPeer) and decides with `run` when completions are delivered:
 * first in, first out, batch by batch, batch-end listeners after each batch, nothing ever from within a call.
 *
 * Breaking the reactor's contract (memory out of the arena, overlapping receives, memory changed under a send, a second
 * receive on a stream, unknown keys, use after close) throws FakeContractViolation and is kept in `violations`.
 */
import { FakeCompletionQueue } from './fake/completion-queue.ts';
import { FakeAccess, FakeMemory } from './fake/fake-memory.ts';
import { FakeRdmaConnection } from './fake/fake-rdma.ts';
import type { FakeRdmaPeer } from './fake/fake-rdma.ts';
import { FakeErrno, FakeStream, FakeStreamPeer } from './fake/fake-stream.ts';
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

export { FakeContractViolation } from './fake/completion-queue.ts';
export { FakeAccess, FakeAccessError, fakeNativeError } from './fake/fake-memory.ts';
export { FakeCmEvent, FakeRdmaPeer, FakeWcStatus } from './fake/fake-rdma.ts';
export type { FakeCmAnswer, FakeCmScript } from './fake/fake-rdma.ts';
export { FakeErrno, FakeStreamPeer } from './fake/fake-stream.ts';

export interface FakeReactorOptions {
  /** Default 8 MiB. */
  readonly arenaBytes?: number;
  /** Virtual address of arena offset 0; default 0x7f0000000000. */
  readonly base?: bigint;
}

/** A connectStream call that waits for the test's answer. */
export class FakeConnectAttempt {
  readonly address: string;
  readonly port: number;
  readonly peer: FakeStreamPeer;
  readonly #answer: (errno: number) => void;

  constructor(
    address: string,
    port: number,
    peer: FakeStreamPeer,
    answer: (errno: number) => void,
  ) {
    this.address = address;
    this.port = port;
    this.peer = peer;
    this.#answer = answer;
  }

  /** Connected. The peer may be written to at once. */
  accept(): FakeStreamPeer {
    this.#answer(0);
    return this.peer;
  }

  refuse(errno: number = FakeErrno.ECONNREFUSED): void {
    this.#answer(errno);
  }
}

/** A listening socket in the hands of a test: `fd` is for openListener. */
export class FakeListenerSocket {
  readonly fd: number;
  /** The reactor's: hands an fd (or an errno) to the listener. */
  arrive: ((fd: number, errno: number) => void) | undefined;
  readonly #newPair: () => { fd: number; peer: FakeStreamPeer };

  constructor(fd: number, newPair: () => { fd: number; peer: FakeStreamPeer }) {
    this.fd = fd;
    this.#newPair = newPair;
  }

  /** A client connects: its end. The listener's sink gets the other one. */
  connect(): FakeStreamPeer {
    if (this.arrive === undefined) throw new Error('nobody listens');
    const { fd, peer } = this.#newPair();
    this.arrive(fd, 0);
    return peer;
  }

  /** accept(2) fails (EMFILE, …). */
  fail(errno: number): void {
    this.arrive?.(-1, errno);
  }
}

export class FakeReactor implements Reactor {
  /** Answers connectStream: call accept or refuse, now or later. Without it every connect is refused. */
  onConnectStream: ((attempt: FakeConnectAttempt) => void) | undefined;
  /** Called by rdmaOpen: the place to script a connection before it does anything. */
  onRdmaOpen: ((peer: FakeRdmaPeer) => void) | undefined;
  /** The peers of all rdmaOpen calls, oldest first. */
  readonly rdmaPeers: FakeRdmaPeer[] = [];
  deviceLimits: DeviceLimits = {
    device: 'fake0',
    maxQpReadAtomic: 16,
    maxQpWorkRequests: 4096,
    onDemandPaging: false,
  };
  gathering = false;
  polling = true;
  readonly memory: FakeMemory;
  /** How often `descriptorFreed` was called. */
  descriptorsFreed = 0;
  readonly #queue: FakeCompletionQueue = new FakeCompletionQueue();
  readonly #sockets = new Map<number, FakeStreamPeer | FakeListenerSocket>();
  readonly #streams = new Map<ObjectId, FakeStream>();
  readonly #listeners = new Map<ObjectId, FakeListenerSocket>();
  readonly #connections = new Map<ObjectId, FakeRdmaConnection>();
  #nextFd = 1000;

  constructor(options: FakeReactorOptions = {}) {
    const base = options.base ?? 0x7f00_0000_0000n;
    this.memory = new FakeMemory(options.arenaBytes ?? 8 * 1024 * 1024, base, this.#queue);
  }

  get arena(): ArenaMemory {
    return this.memory;
  }

  get turn(): number {
    return this.#queue.turn;
  }

  /** What the code under test did wrong so far; a good last line of a test is to expect it empty. */
  get violations(): readonly string[] {
    return this.#queue.violations;
  }

  get openObjects(): number {
    return this.#queue.openObjects;
  }

  /** Everything that is still open, posted or registered, as sentences. */
  leaks(): string[] {
    return [
      ...this.#queue.openKinds().map((kind) => `${kind} is open`),
      ...this.memory.posted.map((range) => `${range.what} at ${range.offset} is posted`),
      ...[...this.memory.regions.keys()].map((id) => `region ${id} is registered`),
      ...[...this.#sockets.keys()].map((fd) => `fd ${fd} was never opened`),
    ];
  }

  /** Delivers completions until none is left; returns the number of batches. */
  run(): number {
    return this.#queue.run();
  }

  /** Delivers the completions that are queued now, as one batch. */
  runTurn(): void {
    this.#queue.runTurn();
  }

  /** `run`, and promise continuations too, until both are at rest. */
  async settle(): Promise<void> {
    do {
      this.run();
      await new Promise((resolve) => setImmediate(resolve));
    } while (this.#queue.pending > 0);
  }

  /** Keeps an object's completions back until `resumeCompletions`. */
  holdCompletions(object: ObjectId): void {
    this.#queue.hold(object);
  }

  resumeCompletions(object: ObjectId, arrange: 'inOrder' | 'reversed' = 'inOrder'): void {
    this.#queue.resume(object, arrange);
  }

  /** The next `count` registerMemory calls throw this error. */
  failRegistrations(count: number, code = 'ENOMEM', errno = 12): void {
    for (let i = 0; i < count; i++) this.memory.registrationFaults.push({ code, errno });
  }

  /** Two connected ends: `fd` is for openStream, `peer` is the test's. */
  streamPair(): { fd: number; peer: FakeStreamPeer } {
    const peer = new FakeStreamPeer();
    const fd = this.#nextFd++;
    this.#sockets.set(fd, peer);
    return { fd, peer };
  }

  listenerSocket(): FakeListenerSocket {
    const socket = new FakeListenerSocket(this.#nextFd++, () => this.streamPair());
    this.#sockets.set(socket.fd, socket);
    return socket;
  }

  /** What closeFd(2) would do to an fd that nobody opened. */
  closeFd(fd: number): void {
    const socket = this.#sockets.get(fd);
    if (!this.#sockets.delete(fd)) this.#queue.violation(`fd ${fd} is not open`);
    if (socket instanceof FakeStreamPeer) {
      socket.closed = true;
      socket.onClosed?.();
    }
  }

  openStream(fd: number, sink: StreamSink): ObjectId {
    const peer = this.#sockets.get(fd);
    if (!(peer instanceof FakeStreamPeer)) this.#queue.violation(`fd ${fd} is no stream socket`);
    this.#sockets.delete(fd);
    return this.#addStream(peer, sink);
  }

  #addStream(peer: FakeStreamPeer, sink: StreamSink): ObjectId {
    const id = this.#queue.openObject('stream');
    this.#streams.set(id, new FakeStream(id, peer, sink, this.#queue, this.memory));
    return id;
  }

  connectStream(address: string, port: number, sink: StreamSink): ObjectId {
    const peer = new FakeStreamPeer();
    const id = this.#addStream(peer, sink);
    const attempt = new FakeConnectAttempt(address, port, peer, (errno) => {
      this.#queue.complete(id, () => {
        sink.onConnected(errno);
      });
    });
    this.#queue.later(id, () => {
      if (this.onConnectStream === undefined) attempt.refuse();
      else this.onConnectStream(attempt);
    });
    return id;
  }

  openListener(fd: number, sink: ListenerSink): ObjectId {
    const socket = this.#sockets.get(fd);
    if (!(socket instanceof FakeListenerSocket)) {
      this.#queue.violation(`fd ${fd} is no listening socket`);
    }
    this.#sockets.delete(fd);
    const id = this.#queue.openObject('listener');
    this.#listeners.set(id, socket);
    socket.arrive = (accepted, errno) => {
      this.#queue.complete(id, () => {
        sink.onAccepted(accepted, errno);
      });
    };
    return id;
  }

  close(object: ObjectId): void {
    if (!this.#queue.isOpen(object)) this.#queue.violation(`close of object ${object}: not open`);
    this.#queue.closeObject(object);
    this.#streams.get(object)?.close();
    this.#connections.get(object)?.close();
    const listener = this.#listeners.get(object);
    if (listener !== undefined) listener.arrive = undefined;
    this.#streams.delete(object);
    this.#connections.delete(object);
    this.#listeners.delete(object);
  }

  descriptorFreed(): void {
    this.descriptorsFreed++;
  }

  receive(stream: ObjectId, offset: number, minimumLength: number, maximumLength: number): void {
    this.#stream(stream).receive(offset, minimumLength, maximumLength);
  }

  cancelReceive(stream: ObjectId): void {
    this.#stream(stream).cancelReceive();
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
    this.#stream(stream).send(tag, offset, length, offset2, length2, notify);
  }

  rdmaOpen(sink: RdmaSink): ObjectId {
    const id = this.#queue.openObject('RDMA connection');
    const connection = new FakeRdmaConnection(id, sink, this.#queue, this.memory);
    this.#connections.set(id, connection);
    this.rdmaPeers.push(connection.peer);
    this.onRdmaOpen?.(connection.peer);
    return id;
  }

  rdmaResolveAddress(connection: ObjectId, address: string, port: number): void {
    const opened = this.#connection(connection);
    opened.peer.address = address;
    opened.peer.port = port;
    opened.answer(opened.peer.script.resolveAddress);
  }

  rdmaCreateQueuePair(connection: ObjectId, limits: QueuePairLimits): number {
    return this.#connection(connection).createQueuePair(limits);
  }

  rdmaResolveRoute(connection: ObjectId): void {
    const opened = this.#connection(connection);
    opened.answer(opened.peer.script.resolveRoute);
  }

  rdmaConnect(connection: ObjectId, parameters: RdmaConnectParameters): void {
    this.#connection(connection).connect(parameters);
  }

  rdmaDisconnect(connection: ObjectId): void {
    this.#connection(connection).disconnect();
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
    const opened = this.#connection(connection);
    this.memory.checkLocalKey(key, offset, length, 0, 'rdmaSend');
    if (length2 > 0) this.memory.checkLocalKey(key2, offset2, length2, 0, 'rdmaSend');
    const ranges = [this.memory.post('reads', offset, length, 'rdmaSend', key)];
    if (length2 > 0) ranges.push(this.memory.post('reads', offset2, length2, 'rdmaSend', key2));
    opened.post(tag, ranges);
  }

  rdmaReceive(
    connection: ObjectId,
    tag: number,
    offset: number,
    length: number,
    key: number,
  ): void {
    const opened = this.#connection(connection);
    this.memory.checkLocalKey(key, offset, length, FakeAccess.localWrite, 'rdmaReceive');
    opened.postReceive(tag, this.memory.post('writes', offset, length, 'rdmaReceive', key));
  }

  rdmaDeviceLimits(): DeviceLimits {
    return this.deviceLimits;
  }

  registerMemory(
    protectionDomain: number,
    offset: number,
    length: number,
    access: number,
  ): MemoryRegion {
    return this.memory.register(protectionDomain, offset, length, access);
  }

  deregisterMemory(region: number): void {
    this.memory.deregister(region);
  }

  addBatchEndListener(listener: () => void): void {
    this.#queue.batchEndListeners.push(listener);
  }

  removeBatchEndListener(listener: () => void): void {
    const listeners = this.#queue.batchEndListeners;
    const index = listeners.indexOf(listener);
    if (index < 0) this.#queue.violation('no such batch-end listener');
    listeners.splice(index, 1);
  }

  closeAll(): void {
    for (const id of [...this.#streams.keys()]) this.close(id);
    for (const id of [...this.#listeners.keys()]) this.close(id);
    for (const id of [...this.#connections.keys()]) this.close(id);
    for (const id of [...this.memory.regions.keys()]) this.deregisterMemory(id);
    this.#queue.clear();
  }

  #stream(id: ObjectId): FakeStream {
    const stream = this.#streams.get(id);
    if (stream === undefined) this.#queue.violation(`stream ${id} is not open`);
    return stream;
  }

  #connection(id: ObjectId): FakeRdmaConnection {
    const connection = this.#connections.get(id);
    if (connection === undefined) this.#queue.violation(`RDMA connection ${id} is not open`);
    return connection;
  }
}
