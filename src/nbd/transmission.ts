import type { BlockDevice } from '../block/device.ts';
import type { RequestOwner, RequestSlotWaiter, RequestTable } from '../block/request-table.ts';
import { BlockOperation } from '../block/request-table.ts';
import { assert } from '../errors.ts';
import type { BufferPool } from '../memory/buffer-pool.ts';
import { noBuffer } from '../memory/buffer-pool.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import { Answers } from './answers.ts';
import { Command, requestHeaderLength } from './constants.ts';
import { NbdCounter } from './counters.ts';
import { NbdEnd } from './end.ts';
import type { Agreement } from './handshake.ts';
import type { RequestLatencies } from './latencies.ts';
import type { NbdLimits } from './limits.ts';
import type { ReceiveBuffer } from './receive-buffer.ts';
import type { ReplyRing } from './reply-ring.ts';
import { Refusal } from './refusal.ts';
import { blockFlags, counterOf, operationOf, RequestHeader, validateRequest } from './request.ts';
import { ShareAccount, type VolumeShare } from './share.ts';
import type { Progress } from './stall-watch.ts';

/** The connection, as its transmission phase sees it. */
export interface TransmissionHost {
  /** Calls `advance` once the pool has memory again. */
  waitForBuffer(): void;
  /** Ends the connection now. */
  end(end: NbdEnd, detail: string): void;
}

export interface TransmissionParts {
  readonly host: TransmissionHost;
  readonly arena: ArenaMemory;
  readonly pool: BufferPool;
  readonly receiveBuffer: ReceiveBuffer;
  readonly replies: ReplyRing;
  readonly device: BlockDevice;
  readonly agreement: Agreement;
  readonly limits: NbdLimits;
  readonly counters: Float64Array;
  readonly latencies: RequestLatencies | undefined;
  /** What this client's volume may hold; absent: its own limits are all. */
  readonly share: VolumeShare | undefined;
}

/**
 * What the next bytes are:
 *
 *   header ──► payload ──► header     WRITE that is acceptable
 *          ──► discard ──► header     WRITE that is refused
 *          ──► stopped                DISC, end of file, or a violation
 *
 * Back-pressure: when a slot, a buffer or a limit is missing, nothing is consumed and no receive is posted; the client's bytes stay
 * in the socket until something has been freed, and `advance` is called again.
 */
const State = { header: 0, payload: 1, discard: 2, stopped: 3 } as const;
type State = (typeof State)[keyof typeof State];

/** The transmission phase of one connection (proto.md: Transmission phase): the data path. No allocation per request. */
export class Transmission implements RequestOwner, RequestSlotWaiter, Progress {
  readonly #host: TransmissionHost;
  readonly #arena: ArenaMemory;
  readonly #pool: BufferPool;
  readonly #in: ReceiveBuffer;
  readonly #replies: ReplyRing;
  readonly #device: BlockDevice;
  readonly #requests: RequestTable;
  readonly #agreement: Agreement;
  readonly #limits: NbdLimits;
  readonly #counters: Float64Array;
  readonly #latencies: RequestLatencies | undefined;
  /** When the last receive came, and the one that brought the header of the write being received. */
  readonly #receivedMs = new Float64Array(2);
  readonly #answers: Answers;
  readonly #account: ShareAccount;
  /** The request being received. */
  readonly #header = new RequestHeader();
  #state: State = State.header;
  #refusal: Refusal = Refusal.none;
  #discardLeft = 0;
  /** Accepted and not answered, the one being received included. */
  #open = 0;
  /** Payload of these. */
  #openBytes = 0;
  /** Of it, what belongs to the write being received. */
  #receivingBytes = 0;
  #atDevice = 0;
  #waitingForSlot = false;
  #running = false;
  #closed = false;
  #endOfFile = false;
  #draining = false;
  /** How the connection ends once everything is answered and sent. */
  #finalEnd: NbdEnd | undefined;

  constructor(parts: TransmissionParts) {
    this.#host = parts.host;
    this.#arena = parts.arena;
    this.#pool = parts.pool;
    this.#in = parts.receiveBuffer;
    this.#replies = parts.replies;
    this.#device = parts.device;
    this.#requests = parts.device.requests;
    this.#agreement = parts.agreement;
    this.#limits = parts.limits;
    this.#counters = parts.counters;
    this.#latencies = parts.latencies;
    this.onReceived();
    this.#account = new ShareAccount(parts.share, () => {
      this.advance();
    });
    this.#answers = new Answers(parts.replies, parts.device, parts.agreement, parts.counters);
  }

  /** Requests that the device has and will still report, also after `close`. */
  get requestsAtDevice(): number {
    return this.#atDevice;
  }

  /** Goes on with whatever can be gone on with: after a receive, a completion, or when something has become free. */
  advance(): void {
    this.settleShare();
    if (this.#running || this.#closed) return;
    if (!this.#in.posted && this.#state !== State.stopped) {
      this.#running = true;
      let going = true;
      while (going) going = this.#step();
      this.#running = false;
    }
    this.#finishIfQuiet();
  }

  /** More bytes have come. `advance` follows. */
  onReceived(): void {
    const clock = this.#latencies?.clock;
    if (clock === undefined) return;
    clock.update();
    this.#receivedMs[0] = clock.nowMs[0];
  }

  /** No more bytes will come than are there. `advance` follows. */
  onEndOfFile(): void {
    this.#endOfFile = true;
  }

  /** Stops at the next request boundary; what is beyond stays in the socket. `advance` follows. */
  drain(): void {
    this.#draining = true;
  }

  /** Between two requests, with nothing of the next one taken from the socket. */
  get atBoundary(): boolean {
    return this.#state === State.header && this.#in.available === 0;
  }

  /** After the stream is closed. What the device still has is given back in onRequestDone. */
  close(): void {
    this.#closed = true;
    this.#state = State.stopped;
    this.#openBytes -= this.#receivingBytes;
    this.#receivingBytes = 0;
  }

  /** Tells the share what this client holds now; also after `close`, when replies have let go of theirs. */
  settleShare(): void {
    this.#account.settle(this.#openBytes + this.#replies.heldBytes, this.#atDevice);
  }

  // What the stall watch looks at.

  get repliesDue(): boolean {
    return this.#replies.awaitsCompletion;
  }

  get repliesTaken(): number {
    return this.#replies.oldest;
  }

  get requestDue(): boolean {
    return this.#state !== State.stopped && this.#in.posted && !this.atBoundary;
  }

  get receives(): number {
    return this.#in.completed;
  }

  onRequestSlotFree(): void {
    this.#waitingForSlot = false;
    this.advance();
  }

  onRequestDone(request: number): void {
    const requests = this.#requests;
    const operation = requests.operation[request];
    const buffer = requests.buffer[request];
    const length = requests.length[request];
    this.#atDevice--;
    this.#open--;
    if (operation === BlockOperation.write) {
      this.#openBytes -= length;
      this.#in.giveBack(buffer);
    } else if (operation === BlockOperation.read) {
      this.#openBytes -= length;
      if (this.#closed || requests.error[request] !== 0) this.#pool.release(buffer);
    }
    if (!this.#closed) {
      this.#answers.toRequest(request, this.#open === 0);
      this.#latencies?.record(requests, request);
    }
    requests.free(request);
    this.advance();
  }

  #step(): boolean {
    switch (this.#state) {
      case State.header:
        return this.#stepHeader();
      case State.payload:
        return this.#stepPayload();
      case State.discard:
        return this.#stepDiscard();
      case State.stopped:
        return false;
    }
  }

  #stepHeader(): boolean {
    const buffer = this.#in;
    if (buffer.available < requestHeaderLength) return this.#more(requestHeaderLength);
    // Every open request will need a place in the reply ring.
    if (
      this.#open >= this.#limits.requests ||
      this.#open + this.#replies.unacknowledged >= this.#replies.capacity
    ) {
      return this.#stall();
    }
    const header = this.#header;
    header.read(this.#arena.view, buffer.position);
    if (!header.hasMagic) return this.#violation(NbdEnd.badRequestMagic, 'request without magic');
    if (header.command === Command.disconnect) {
      buffer.consume(requestHeaderLength);
      this.#stop(NbdEnd.disconnected);
      return false;
    }
    const geometry = this.#device.geometry;
    const refusal = validateRequest(header, geometry, this.#agreement, this.#limits.payloadLength);
    if (header.command === Command.write) return this.#beginWrite(refusal);
    if (refusal !== Refusal.none) return this.#answerAtOnce(refusal);
    if (header.length === 0 && header.command !== Command.flush) {
      return this.#answerAtOnce(Refusal.none);
    }
    return this.#submit();
  }

  #beginWrite(refusal: Refusal): boolean {
    const { length } = this.#header;
    if (refusal !== Refusal.none && length > 0) {
      if (length > this.#limits.discardLength) {
        return this.#violation(
          NbdEnd.payloadTooLong,
          `write of ${length} bytes, the limit is ${this.#limits.payloadLength}`,
        );
      }
      this.#in.consume(requestHeaderLength);
      this.#open++;
      this.#refusal = refusal;
      this.#discardLeft = length;
      this.#state = State.discard;
      return true;
    }
    if (length === 0) return this.#answerAtOnce(refusal);
    if (!this.#admits(length)) return this.#stall();
    this.#in.consume(requestHeaderLength);
    this.#open++;
    this.#openBytes += length;
    this.#receivingBytes = length;
    this.#receivedMs[1] = this.#receivedMs[0];
    this.settleShare();
    this.#state = State.payload;
    return true;
  }

  #stepPayload(): boolean {
    const header = this.#header;
    const buffer = this.#in;
    if (buffer.available < header.length) return this.#more(header.length);
    if (!this.#slotIsFree()) return this.#stall();
    const request = this.#fill();
    this.#requests.receivedMs[request] = this.#receivedMs[1];
    this.#requests.bufferOffset[request] = buffer.position;
    this.#requests.buffer[request] = buffer.lend();
    buffer.consume(header.length);
    this.#receivingBytes = 0;
    this.#state = State.header;
    this.#counters[NbdCounter.bytesWritten] += header.length;
    this.#handOver(request);
    return true;
  }

  #stepDiscard(): boolean {
    const buffer = this.#in;
    const taken = Math.min(buffer.available, this.#discardLeft);
    buffer.consume(taken);
    this.#discardLeft -= taken;
    if (this.#discardLeft > 0) {
      return this.#more(Math.min(this.#discardLeft, this.#limits.chunkLength >> 3));
    }
    this.#state = State.header;
    this.#open--;
    this.#answers.toHeader(this.#header, this.#refusal, this.#open === 0);
    return true;
  }

  /** Everything but WRITE. */
  #submit(): boolean {
    const header = this.#header;
    if (!this.#slotIsFree()) return this.#stall();
    let buffer = noBuffer;
    if (header.command === Command.read) {
      if (!this.#admits(header.length)) return this.#stall();
      buffer = this.#pool.allocate(header.length);
      if (buffer === noBuffer) {
        this.#host.waitForBuffer();
        return this.#stall();
      }
      this.#openBytes += header.length;
      this.#counters[NbdCounter.bytesRead] += header.length;
    }
    this.#in.consume(requestHeaderLength);
    this.#open++;
    const request = this.#fill();
    if (buffer !== noBuffer) {
      this.#requests.buffer[request] = buffer;
      this.#requests.bufferOffset[request] = buffer;
    }
    this.#handOver(request);
    return true;
  }

  /** A slot with everything that the header says. */
  #fill(): number {
    const header = this.#header;
    const requests = this.#requests;
    const request = requests.allocate(this);
    assert(request >= 0, 'request slot was free');
    requests.operation[request] = operationOf[header.command];
    requests.flags[request] = blockFlags(header.flags);
    requests.offset[request] = header.offset;
    requests.length[request] = header.length;
    requests.cookieHigh[request] = header.cookieHigh;
    requests.cookieLow[request] = header.cookieLow;
    requests.receivedMs[request] = this.#receivedMs[0];
    this.#counters[counterOf[header.command]]++;
    return request;
  }

  #handOver(request: number): void {
    this.#atDevice++;
    this.settleShare();
    this.#device.submit(request);
  }

  #slotIsFree(): boolean {
    if (!this.#account.admitsRequest()) return false;
    if (this.#requests.inFlight < this.#requests.capacity) return true;
    if (!this.#waitingForSlot) {
      this.#waitingForSlot = true;
      this.#requests.addWaiter(this);
    }
    return false;
  }

  /** One request is always admitted, so that every legal length can be served. */
  #admits(length: number): boolean {
    const held = this.#openBytes + this.#replies.heldBytes;
    if (held !== 0 && held + length > this.#limits.bytesInFlight) return false;
    return this.#account.admitsBytes(length);
  }

  /** Answers the request at hand without the device. */
  #answerAtOnce(refusal: Refusal): boolean {
    this.#in.consume(requestHeaderLength);
    this.#answers.toHeader(this.#header, refusal, this.#open === 0);
    return true;
  }

  /** Receives until `needed` bytes are there; ends the loop. */
  #more(needed: number): false {
    const buffer = this.#in;
    if (this.#endOfFile) {
      if (this.atBoundary) this.#stop(NbdEnd.peerClosed);
      else this.#violation(NbdEnd.truncatedRequest, 'end of file within a request');
    } else if (!(this.#draining && this.atBoundary)) {
      const limit = this.#draining ? needed : Infinity;
      if (!buffer.receive(needed, limit, this.atBoundary)) {
        this.#host.waitForBuffer();
        return this.#stall();
      }
    }
    return false;
  }

  #stall(): false {
    if (this.#state === State.header) this.#in.shrink();
    this.#counters[NbdCounter.stalls]++;
    return false;
  }

  #stop(end: NbdEnd): void {
    this.#state = State.stopped;
    this.#finalEnd = end;
  }

  #violation(end: NbdEnd, detail: string): false {
    this.#state = State.stopped;
    this.#host.end(end, detail);
    return false;
  }

  #finishIfQuiet(): void {
    if (this.#closed || this.#open > 0 || this.#replies.unacknowledged > 0) return;
    if (this.#finalEnd !== undefined) this.#host.end(this.#finalEnd, '');
    else if (this.#draining && this.atBoundary && !this.#in.posted)
      this.#host.end(NbdEnd.drained, '');
  }
}
