/**
 * The reactor as the rest of the library sees it: typed calls that queue submissions, and sinks that receive completions.
 * Two implementations: NativeReactor (native-reactor.ts) and FakeReactor (fake-reactor.ts, scripted faults for tests).
 *
 * Thread: a reactor, its arena and every sink belong to one thread. Calls that queue (receive, send, rdma*) never complete
 * synchronously: completions arrive in a later turn. After `close(object)` no sink method is called for it any more and its
 * memory is no longer touched by anyone.
 */

/** What arena memory looks like from TypeScript. DataView accessors are big-endian by default, as all three wires are. */
export interface ArenaMemory {
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Virtual address of offset 0: what iSER advertises, plus the offset. */
  readonly base: bigint;
}

/** A native object's id; index and generation, so that a late completion of a closed object is recognised. */
export type ObjectId = number;

export interface StreamSink {
  /** Only for connectStream. errno 0 = connected. After an errno close the stream. */
  onConnected(errno: number): void;
  /** `length` bytes are in place. status 0, `endOfFile`, or an errno; with the last two `length` may be short. */
  onReceived(length: number, status: number): void;
  /** The send with this tag is with the kernel (status 0), or failed. Only for sends with notify, and for failures. */
  onSent(tag: number, status: number): void;
}

export interface ListenerSink {
  /** A new connection's fd, now the sink's to own; or an errno with fd -1. */
  onAccepted(fd: number, errno: number): void;
}

export interface RdmaSink {
  /** rdma_cm_event_type and the event's status (negative errno, or the reject reason). */
  onCmEvent(event: number, status: number): void;
  /**
   * ibv_wc_status 0 = success. Nobody is woken for a success alone: it is reported when something else is, and at once when a message
   * has come since the SEND was posted, which may be its answer.
   */
  onRdmaSent(tag: number, status: number, vendorError: number): void;
  onRdmaReceived(tag: number, length: number, status: number, vendorError: number): void;
  /** ibv_event_type of the device or of this QP. */
  onDeviceEvent(event: number): void;
}

export interface QueuePairLimits {
  readonly sendDepth: number;
  readonly receiveDepth: number;
  readonly maxInline: number;
}

export interface RdmaConnectParameters {
  readonly responderResources: number;
  readonly initiatorDepth: number;
  readonly retryCount: number;
  readonly rnrRetryCount: number;
  readonly privateData: Uint8Array;
}

export interface MemoryRegion {
  readonly id: number;
  readonly lkey: number;
  readonly rkey: number;
}

export interface DeviceLimits {
  readonly device: string;
  readonly maxQpReadAtomic: number;
  readonly maxQpWorkRequests: number;
  readonly onDemandPaging: boolean;
}

export interface Reactor {
  readonly arena: ArenaMemory;
  /** What is being dispatched: a number for the completions of a batch, the next one for its batch-end listeners; 0: nothing. */
  readonly turn: number;
  /**
   * Whether sockets that have become ready are left alone for some microseconds before they are looked at. With many requests in
   * flight one large batch costs all who share the CPUs less than many small ones; with few it would only be a delay.
   */
  gathering: boolean;
  /**
   * Whether the reactor looks for more for a while (its spin budget) before it sleeps; at first it does. With few requests in flight
   * that saves the way into sleep and out of it; with many those who are to answer need the CPU.
   */
  polling: boolean;

  /** The fd is the reactor's from here on, also when this throws. */
  openStream(fd: number, sink: StreamSink): ObjectId;
  /** Numeric address only. */
  connectStream(address: string, port: number, sink: StreamSink): ObjectId;
  openListener(fd: number, sink: ListenerSink): ObjectId;
  close(object: ObjectId): void;
  /**
   * Elsewhere in the process a descriptor may have become free: listeners whose accept has failed for want of one try again. What this
   * reactor closes itself it knows.
   */
  descriptorFreed(): void;

  /** One receive at a time per stream. minimumLength >= 1. */
  receive(stream: ObjectId, offset: number, minimumLength: number, maximumLength: number): void;
  /**
   * Ends the stream's pending receive: `onReceived` follows with what has landed (maybe nothing) and errno ECANCELED (125),
   * unless the receive completes by itself first. What has not landed stays in the socket.
   */
  cancelReceive(stream: ObjectId): void;
  /** Segment 2 may be empty (length2 = 0). The memory must stay as it is until the send is reported or the stream closed. */
  send(
    stream: ObjectId,
    tag: number,
    offset: number,
    length: number,
    offset2: number,
    length2: number,
    notify: boolean,
  ): void;

  rdmaOpen(sink: RdmaSink): ObjectId;
  rdmaResolveAddress(connection: ObjectId, address: string, port: number, timeoutMs: number): void;
  /** Returns the id of the protection domain, shared by all connections of this reactor on the same device. */
  rdmaCreateQueuePair(connection: ObjectId, limits: QueuePairLimits): number;
  rdmaResolveRoute(connection: ObjectId, timeoutMs: number): void;
  rdmaConnect(connection: ObjectId, parameters: RdmaConnectParameters): void;
  rdmaDisconnect(connection: ObjectId): void;
  rdmaSend(
    connection: ObjectId,
    tag: number,
    offset: number,
    length: number,
    key: number,
    offset2: number,
    length2: number,
    key2: number,
  ): void;
  rdmaReceive(connection: ObjectId, tag: number, offset: number, length: number, key: number): void;
  rdmaDeviceLimits(protectionDomain: number): DeviceLimits;
  /** Throws NativeError; errno ENOMEM means that a pinning limit was reached. */
  registerMemory(
    protectionDomain: number,
    offset: number,
    length: number,
    access: number,
  ): MemoryRegion;
  deregisterMemory(region: number): void;

  /**
   * Called after each batch of completions has been dispatched and before what they queued is submitted: the place to
   * flush what a batch has gathered. Listeners are added once, at construction of their owner.
   */
  addBatchEndListener(listener: () => void): void;
  removeBatchEndListener(listener: () => void): void;
  /** Closes every object, then stops. */
  closeAll(): void;
}
