import type { ObjectId, StreamSink } from '../reactor.ts';
import { endOfFile } from '../layout.ts';
import { ByteQueue } from './byte-queue.ts';
import type { FakeCompletionQueue } from './completion-queue.ts';
import type { FakeMemory, PostedRange } from './fake-memory.ts';

/** errno of a receive that was cancelled. */
const cancelled = 125;

/** errno values that the fake itself produces. */
export const FakeErrno = { EPIPE: 32, ECONNREFUSED: 111, ECONNRESET: 104 } as const;

interface PendingReceive {
  readonly offset: number;
  readonly minimumLength: number;
  readonly maximumLength: number;
  readonly range: PostedRange;
}

interface PendingSend {
  readonly tag: number;
  readonly notify: boolean;
  readonly bytes: Uint8Array;
  readonly ranges: readonly PostedRange[];
  sent: number;
}

/** The other end of a fake stream, in the hands of a test. */
export class FakeStreamPeer {
  /** Called after bytes have arrived (see `received`, `take`): where a scripted peer answers. */
  onBytes: ((peer: FakeStreamPeer) => void) | undefined;
  /** Called once when our side closes the stream. */
  onClosed: (() => void) | undefined;
  /** Most bytes that one receive completion may bring (never less than it asked for at least): cuts messages anywhere. */
  maximumChunk = Infinity;
  /** Our side has closed the stream. */
  closed = false;
  /** What a reader that does not read has room for; Infinity = reads everything. */
  window = Infinity;
  readonly inbound = new ByteQueue();
  readonly #outbound = new ByteQueue();
  ended = false;
  /** errno that ends reading, 0 = none. */
  receiveErrno = 0;
  /** errno that ends writing, 0 = none. */
  sendErrno = 0;
  /** The stream's, once it is opened: something has changed. */
  wake: () => void = () => undefined;

  /** Bytes towards the code under test. */
  write(bytes: Uint8Array): void {
    this.inbound.push(bytes);
    this.wake();
  }

  /** A copy of all that has arrived and was not taken. */
  get received(): Uint8Array {
    return this.#outbound.peek();
  }

  /** Removes and returns at most `length` bytes (default all) of what has arrived. */
  take(length = Infinity): Uint8Array {
    return this.#outbound.take(Math.min(length, this.#outbound.length));
  }

  /** Shuts our reading side: end of file after the bytes written so far. Sends still work. */
  end(): void {
    this.ended = true;
    this.wake();
  }

  /** Closes both directions: end of file for receives, EPIPE for sends. */
  close(): void {
    this.sendErrno = FakeErrno.EPIPE;
    this.end();
  }

  /** The stream breaks: unread bytes are lost, receives and sends fail with this errno. */
  error(errno: number): void {
    this.inbound.clear();
    this.receiveErrno = errno;
    this.sendErrno = errno;
    this.wake();
  }

  /** Stops taking bytes after `room` more: back-pressure. */
  pauseReading(room = 0): void {
    this.window = room;
  }

  resumeReading(): void {
    this.window = Infinity;
    this.wake();
  }

  accept(bytes: Uint8Array): void {
    this.window -= bytes.length;
    this.#outbound.push(bytes);
  }
}

/** Our end: one posted receive, sends in order. */
export class FakeStream {
  readonly id: ObjectId;
  readonly peer: FakeStreamPeer;
  readonly sink: StreamSink;
  readonly #queue: FakeCompletionQueue;
  readonly #memory: FakeMemory;
  #receive: PendingReceive | undefined;
  readonly #sends: PendingSend[] = [];
  #receiveScheduled = false;
  #flushScheduled = false;

  constructor(
    id: ObjectId,
    peer: FakeStreamPeer,
    sink: StreamSink,
    queue: FakeCompletionQueue,
    memory: FakeMemory,
  ) {
    this.id = id;
    this.peer = peer;
    this.sink = sink;
    this.#queue = queue;
    this.#memory = memory;
    peer.wake = () => {
      this.#wake();
    };
  }

  receive(offset: number, minimumLength: number, maximumLength: number): void {
    if (this.#receive !== undefined) this.#queue.violation('a receive is already posted');
    if (minimumLength < 1 || minimumLength > maximumLength) {
      this.#queue.violation(`receive of ${minimumLength} to ${maximumLength} bytes`);
    }
    const range = this.#memory.post('writes', offset, maximumLength, 'stream receive');
    this.#receive = { offset, minimumLength, maximumLength, range };
    this.#wake();
  }

  cancelReceive(): void {
    this.#queue.complete(this.id, () => {
      const receive = this.#receive;
      if (receive !== undefined) this.#endReceive(receive, receive.maximumLength, cancelled);
    });
  }

  send(
    tag: number,
    offset: number,
    length: number,
    offset2: number,
    length2: number,
    notify: boolean,
  ): void {
    const ranges = [this.#memory.post('reads', offset, length, 'stream send')];
    if (length2 > 0) ranges.push(this.#memory.post('reads', offset2, length2, 'stream send'));
    const bytes = new Uint8Array(length + length2);
    bytes.set(this.#memory.bytes.subarray(offset, offset + length));
    bytes.set(this.#memory.bytes.subarray(offset2, offset2 + length2), length);
    this.#sends.push({ tag, notify, bytes, ranges, sent: 0 });
    this.#wake();
  }

  close(): void {
    if (this.#receive !== undefined) this.#memory.abandon(this.#receive.range);
    for (const send of this.#sends) for (const range of send.ranges) this.#memory.abandon(range);
    this.#receive = undefined;
    this.#sends.length = 0;
    this.peer.wake = () => undefined;
    this.peer.closed = true;
    this.peer.onClosed?.();
  }

  #wake(): void {
    if (!this.#receiveScheduled && this.#receivable()) {
      this.#receiveScheduled = true;
      this.#queue.complete(this.id, () => {
        this.#receiveScheduled = false;
        this.#completeReceive();
      });
    }
    if (!this.#flushScheduled && this.#sends.length > 0) {
      this.#flushScheduled = true;
      this.#queue.later(this.id, () => {
        this.#flushScheduled = false;
        this.#flush();
      });
    }
  }

  #receivable(): boolean {
    const receive = this.#receive;
    if (receive === undefined) return false;
    const peer = this.peer;
    return peer.inbound.length >= receive.minimumLength || peer.ended || peer.receiveErrno !== 0;
  }

  #completeReceive(): void {
    const receive = this.#receive;
    if (receive === undefined || !this.#receivable()) return;
    const peer = this.peer;
    const most = Math.max(receive.minimumLength, peer.maximumChunk);
    const complete = peer.inbound.length >= receive.minimumLength;
    const status = complete ? 0 : peer.receiveErrno || endOfFile;
    this.#endReceive(receive, Math.min(receive.maximumLength, most), status);
  }

  #endReceive(receive: PendingReceive, most: number, status: number): void {
    const bytes = this.peer.inbound.take(most);
    this.#memory.bytes.set(bytes, receive.offset);
    this.#memory.unpost(receive.range);
    this.#receive = undefined;
    this.sink.onReceived(bytes.length, status);
  }

  #flush(): void {
    const peer = this.peer;
    let progressed = false;
    while (this.#sends.length > 0) {
      const send = this.#sends[0];
      if (peer.sendErrno === 0) {
        const part = send.bytes.subarray(send.sent, send.sent + Math.max(0, peer.window));
        peer.accept(part);
        send.sent += part.length;
        progressed ||= part.length > 0;
        if (send.sent < send.bytes.length) break;
      }
      this.#sends.shift();
      this.#reportSend(send, peer.sendErrno);
    }
    if (progressed) peer.onBytes?.(peer);
  }

  #reportSend(send: PendingSend, status: number): void {
    for (const range of send.ranges) this.#memory.unpost(range);
    if (send.notify || status !== 0) {
      this.#queue.complete(this.id, () => {
        this.sink.onSent(send.tag, status);
      });
    }
  }
}
