import type { ObjectId, QueuePairLimits, RdmaConnectParameters, RdmaSink } from '../reactor.ts';
import type { FakeCompletionQueue } from './completion-queue.ts';
import { FakeAccess, FakeAccessError } from './fake-memory.ts';
import type { FakeMemory, PostedRange } from './fake-memory.ts';

/** rdma_cm_event_type, as <rdma/rdma_cma.h> numbers it. */
export const FakeCmEvent = {
  addrResolved: 0,
  addrError: 1,
  routeResolved: 2,
  routeError: 3,
  connectError: 6,
  unreachable: 7,
  rejected: 8,
  established: 9,
  disconnected: 10,
  deviceRemoval: 11,
  addrChange: 14,
  timewaitExit: 15,
} as const;

/** ibv_wc_status, as <infiniband/verbs.h> numbers it. */
export const FakeWcStatus = { success: 0, locLenErr: 1, wrFlushErr: 5 } as const;

export interface FakeCmAnswer {
  readonly event: number;
  readonly status: number;
}

/** How the connection manager answers each step; 'silent' = no event at all. */
export interface FakeCmScript {
  resolveAddress: FakeCmAnswer | 'silent';
  resolveRoute: FakeCmAnswer | 'silent';
  connect: FakeCmAnswer | 'silent';
  disconnect: FakeCmAnswer | 'silent';
}

interface PostedReceive {
  readonly tag: number;
  readonly range: PostedRange;
}

interface PostedSend {
  readonly tag: number;
  readonly bytes: Uint8Array;
  readonly ranges: readonly PostedRange[];
}

interface Fault {
  readonly status: number;
  readonly vendorError: number;
}

type QueuePairState = 'none' | 'initial' | 'ready' | 'error' | 'destroyed';

/** The target's side of a fake RDMA connection, and the scripted fabric between. */
export class FakeRdmaPeer {
  readonly script: FakeCmScript = {
    resolveAddress: { event: FakeCmEvent.addrResolved, status: 0 },
    resolveRoute: { event: FakeCmEvent.routeResolved, status: 0 },
    connect: { event: FakeCmEvent.established, status: 0 },
    disconnect: { event: FakeCmEvent.disconnected, status: 0 },
  };
  /** A SEND has arrived: where a scripted target answers. `sends` has it too. */
  onSend: ((bytes: Uint8Array, peer: FakeRdmaPeer) => void) | undefined;
  /** Our side has asked to connect (after `connectParameters` is set, before the scripted event). */
  onConnect: ((peer: FakeRdmaPeer) => void) | undefined;
  /** Our side has closed the object: its QP is destroyed. */
  onClosed: (() => void) | undefined;
  /** SENDs that have arrived, oldest first. */
  readonly sends: Uint8Array[] = [];
  /** Keep the completions of SENDs back until `completeSends`. */
  holdSendCompletions = false;
  /** Nothing sent arrives and nothing completes any more: a dead peer behind a live link. */
  blackHole = false;
  /** Flushed work requests do not come back: a drain that never ends. */
  holdFlushes = false;
  /** SENDs of the peer that found no receive posted (each waits for one, as with rnr_retry 7). */
  receiverNotReady = 0;
  address = '';
  port = 0;
  protectionDomain = 1;
  disconnectRequested = false;
  connectParameters: RdmaConnectParameters | undefined;
  queuePairLimits: QueuePairLimits | undefined;
  readonly #connection: FakeRdmaConnection;

  constructor(connection: FakeRdmaConnection) {
    this.#connection = connection;
  }

  get id(): ObjectId {
    return this.#connection.id;
  }

  get queuePairState(): QueuePairState {
    return this.#connection.state;
  }

  get postedReceives(): number {
    return this.#connection.postedReceives;
  }

  get outstandingSends(): number {
    return this.#connection.outstandingSends;
  }

  /** The oldest SEND that was not taken yet. */
  takeSend(): Uint8Array {
    const bytes = this.sends.shift();
    if (bytes === undefined) throw new Error('no SEND has arrived');
    return bytes;
  }

  /** SENDs these bytes into the oldest posted receive. */
  send(bytes: Uint8Array): void {
    this.#connection.deliver(bytes.slice());
  }

  /** Completes the oldest `count` SENDs that were held back. */
  completeSends(count = Infinity): void {
    this.#connection.completeHeldSends(count);
  }

  /** The next SEND (or the one after it, …) completes with this status, and the QP goes to ERROR. */
  failSend(status: number, vendorError = 0): void {
    this.#connection.sendFaults.push({ status, vendorError });
  }

  /** The oldest posted receive completes with this status, and the QP goes to ERROR. */
  failReceive(status: number, vendorError = 0): void {
    this.#connection.failReceive({ status, vendorError });
  }

  /** The QP goes to ERROR: everything posted comes back with WR_FLUSH_ERR. */
  fail(): void {
    this.#connection.toError();
  }

  cmEvent(event: number, status = 0): void {
    this.#connection.cmEvent({ event, status });
  }

  /** The peer disconnects: an event, and nothing is flushed until our side calls rdmaDisconnect. */
  disconnect(): void {
    this.cmEvent(FakeCmEvent.disconnected);
  }

  deviceEvent(event: number): void {
    this.#connection.deviceEvent(event);
  }

  /** RDMA READ by the peer. Throws FakeAccessError when no live registration allows it. */
  rdmaRead(rkey: number, address: bigint, length: number): Uint8Array {
    const offset = this.#connection.remote(rkey, address, length, FakeAccess.remoteRead);
    return this.#connection.memory.bytes.slice(offset, offset + length);
  }

  /** RDMA WRITE by the peer. Throws FakeAccessError when no live registration allows it. */
  rdmaWrite(rkey: number, address: bigint, bytes: Uint8Array): void {
    const offset = this.#connection.remote(rkey, address, bytes.length, FakeAccess.remoteWrite);
    this.#connection.memory.writeRemote(offset, bytes);
  }
}

/** Our side: queue pair, posted work requests, and events from the connection manager. */
export class FakeRdmaConnection {
  readonly id: ObjectId;
  readonly memory: FakeMemory;
  readonly peer: FakeRdmaPeer;
  readonly sendFaults: Fault[] = [];
  state: QueuePairState = 'none';
  readonly #sink: RdmaSink;
  readonly #queue: FakeCompletionQueue;
  readonly #receives: PostedReceive[] = [];
  /** Posted SENDs that have not completed; the first `#arrived` of them are with the peer, held back. */
  readonly #sends: PostedSend[] = [];
  #arrived = 0;
  readonly #waiting: Uint8Array[] = [];
  #connecting = false;

  constructor(id: ObjectId, sink: RdmaSink, queue: FakeCompletionQueue, memory: FakeMemory) {
    this.id = id;
    this.memory = memory;
    this.#sink = sink;
    this.#queue = queue;
    this.peer = new FakeRdmaPeer(this);
  }

  get postedReceives(): number {
    return this.#receives.length;
  }

  get outstandingSends(): number {
    return this.#sends.length;
  }

  createQueuePair(limits: QueuePairLimits): number {
    if (this.state !== 'none') this.#queue.violation('the connection has a queue pair already');
    this.state = 'initial';
    this.peer.queuePairLimits = limits;
    return this.peer.protectionDomain;
  }

  connect(parameters: RdmaConnectParameters): void {
    if (this.state !== 'initial') this.#queue.violation(`rdmaConnect with QP ${this.state}`);
    if (this.#connecting) this.#queue.violation('rdmaConnect called twice');
    this.#connecting = true;
    this.peer.connectParameters = parameters;
    this.#queue.later(this.id, () => {
      this.peer.onConnect?.(this.peer);
      this.answer(this.peer.script.connect);
    });
  }

  answer(answer: FakeCmAnswer | 'silent'): void {
    if (answer !== 'silent') this.cmEvent(answer);
  }

  cmEvent(answer: FakeCmAnswer): void {
    this.#queue.complete(this.id, () => {
      if (answer.event === FakeCmEvent.established && this.state === 'initial') {
        this.state = 'ready';
      }
      this.#sink.onCmEvent(answer.event, answer.status);
    });
  }

  deviceEvent(event: number): void {
    this.#queue.complete(this.id, () => {
      this.#sink.onDeviceEvent(event);
    });
  }

  disconnect(): void {
    this.peer.disconnectRequested = true;
    if (this.state !== 'none') this.toError();
    this.answer(this.peer.script.disconnect);
  }

  post(tag: number, ranges: readonly PostedRange[]): void {
    const depth = this.peer.queuePairLimits?.sendDepth ?? 0;
    if (this.state !== 'ready' && this.state !== 'error') {
      this.#queue.violation(`rdmaSend with QP ${this.state}`);
    }
    if (this.#sends.length >= depth) this.#queue.violation(`more than ${depth} SENDs posted`);
    const bytes = new Uint8Array(ranges.reduce((sum, range) => sum + range.length, 0));
    let at = 0;
    for (const range of ranges) {
      bytes.set(range.snapshot, at);
      at += range.length;
    }
    const send = { tag, bytes, ranges };
    this.#sends.push(send);
    if (this.state === 'error') this.#flushAll();
    else
      this.#queue.later(this.id, () => {
        this.#transmit(send);
      });
  }

  postReceive(tag: number, range: PostedRange): void {
    const depth = this.peer.queuePairLimits?.receiveDepth ?? 0;
    if (this.state === 'none') this.#queue.violation('rdmaReceive without a queue pair');
    if (this.#receives.length >= depth) {
      this.#queue.violation(`more than ${depth} receives posted`);
    }
    this.#receives.push({ tag, range });
    if (this.state === 'error') this.#flushAll();
    else if (this.#waiting.length > 0)
      this.#queue.later(this.id, () => {
        this.#fillReceives();
      });
  }

  deliver(bytes: Uint8Array): void {
    const reachable = this.state === 'ready' || (this.state === 'initial' && this.#connecting);
    if (!reachable) throw new FakeAccessError(`SEND to a QP in state ${this.state}`);
    if (this.#receives.length <= this.#waiting.length) this.peer.receiverNotReady += 1;
    this.#waiting.push(bytes);
    this.#fillReceives();
  }

  failReceive(fault: Fault): void {
    const receive = this.#receives.shift();
    if (receive === undefined) throw new Error('no receive is posted');
    this.#completeReceive(receive, 0, fault.status, fault.vendorError);
    this.toError();
  }

  completeHeldSends(count: number): void {
    for (let i = Math.min(count, this.#arrived); i > 0; i--) {
      this.#arrived -= 1;
      const send = this.#sends.shift();
      if (send !== undefined) this.#completeSend(send, 0, 0);
    }
  }

  toError(): void {
    if (this.state === 'destroyed' || this.state === 'none') return;
    this.state = 'error';
    this.#waiting.length = 0;
    this.#flushAll();
  }

  remote(rkey: number, address: bigint, length: number, access: number): number {
    if (this.state !== 'ready') {
      throw new FakeAccessError(`RDMA through a QP in state ${this.state}`);
    }
    const domain = this.peer.protectionDomain;
    return this.memory.resolveRemote(domain, rkey, address, length, access);
  }

  close(): void {
    for (const receive of this.#receives) this.memory.abandon(receive.range);
    for (const send of this.#sends) for (const range of send.ranges) this.memory.abandon(range);
    this.#receives.length = 0;
    this.#sends.length = 0;
    this.#waiting.length = 0;
    this.state = 'destroyed';
    this.peer.onClosed?.();
  }

  #transmit(send: PostedSend): void {
    if (this.peer.blackHole || !this.#sends.includes(send)) return;
    const fault = this.sendFaults.shift();
    if (fault !== undefined) {
      this.#sends.splice(this.#sends.indexOf(send), 1);
      this.#completeSend(send, fault.status, fault.vendorError);
      this.toError();
      return;
    }
    this.#arrived += 1;
    this.peer.sends.push(send.bytes);
    if (!this.peer.holdSendCompletions) this.completeHeldSends(Infinity);
    this.peer.onSend?.(send.bytes, this.peer);
  }

  #fillReceives(): void {
    while (this.#waiting.length > 0 && this.#receives.length > 0) {
      const receive = this.#receives.shift();
      const bytes = this.#waiting.shift();
      if (receive === undefined || bytes === undefined) return;
      if (bytes.length > receive.range.length) {
        this.#completeReceive(receive, 0, FakeWcStatus.locLenErr, 0);
        this.toError();
        return;
      }
      this.memory.bytes.set(bytes, receive.range.offset);
      this.#completeReceive(receive, bytes.length, 0, 0);
    }
  }

  #flushAll(): void {
    if (this.peer.holdFlushes) return;
    for (const send of this.#sends.splice(0)) this.#completeSend(send, FakeWcStatus.wrFlushErr, 0);
    this.#arrived = 0;
    for (const receive of this.#receives.splice(0)) {
      this.#completeReceive(receive, 0, FakeWcStatus.wrFlushErr, 0);
    }
  }

  /** The memory counts as the device's until the completion is delivered: ranges are let go there. */
  #completeSend(send: PostedSend, status: number, vendorError: number): void {
    this.#queue.complete(this.id, () => {
      for (const range of send.ranges) this.memory.unpost(range);
      this.#sink.onRdmaSent(send.tag, status, vendorError);
    });
  }

  #completeReceive(receive: PostedReceive, length: number, status: number, vendor: number): void {
    this.#queue.complete(this.id, () => {
      this.memory.unpost(receive.range);
      this.#sink.onRdmaReceived(receive.tag, length, status, vendor);
    });
  }
}
