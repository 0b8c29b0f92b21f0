import type { BlockDevice } from '../block/device.ts';
import { assert } from '../errors.ts';
import type { BufferPool, BufferWaiter } from '../memory/buffer-pool.ts';
import { noBuffer } from '../memory/buffer-pool.ts';
import { endOfFile } from '../reactor/layout.ts';
import type { ObjectId, Reactor, StreamSink } from '../reactor/reactor.ts';
import { requestHeaderLength } from './constants.ts';
import { NbdCounter, nbdCounterCount } from './counters.ts';
import { NbdEnd, ruleEnds } from './end.ts';
import type { ExportDirectory, NbdExport } from './export.ts';
import { Handshake } from './handshake.ts';
import type { Agreement } from './handshake.ts';
import { HandshakeExchange } from './handshake-exchange.ts';
import type { HandshakeHost } from './handshake-exchange.ts';
import type { Timers } from '../timers.ts';
import type { RequestLatencies } from './latencies.ts';
import type { NbdLimits } from './limits.ts';
import { defaultLimits } from './limits.ts';
import { ReceiveBuffer } from './receive-buffer.ts';
import { ReplyRing, replySlotLength } from './reply-ring.ts';
import type { VolumeShare } from './share.ts';
import { StallWatch } from './stall-watch.ts';
import { Transmission } from './transmission.ts';
import type { TransmissionHost } from './transmission.ts';

/** Both are called from the reactor's turn, or from within `start`, `drain` or `close`. */
export interface NbdConnectionEvents {
  /** The handshake is over; not called for a connection that began in the transmission phase. */
  onTransmission?(connection: NbdConnection, nbdExport: NbdExport): void;
  /**
   * Once. The socket is closed. The device may still have requests of this connection (`requestsAtDevice`); they keep their
   * memory until it reports them.
   */
  onClosed(connection: NbdConnection, end: NbdEnd, detail: string): void;
}

export interface NbdConnectionOptions {
  readonly reactor: Reactor;
  readonly pool: BufferPool;
  readonly timers: Timers;
  readonly events: NbdConnectionEvents;
  /** Overrides of `defaultLimits`. */
  readonly limits?: Partial<NbdLimits>;
  /** Where to count (see NbdCounter): `nbdCounterCount` numbers; own ones if absent. */
  readonly counters?: Float64Array;
  /** Where to count how long requests take; absent: nobody wants to know. */
  readonly latencies?: RequestLatencies;
  /** What all clients of the volume may hold together; absent: `limits` alone counts. */
  readonly share?: VolumeShare | undefined;
  /**
   * What is served: exports to choose from by the handshake, or one device with the transmission phase at once, as the kernel's
   * client wants it (simple replies only).
   */
  readonly serve: { readonly exports: ExportDirectory } | { readonly device: BlockDevice };
}

/**
 *   idle ──► negotiating ──► transmitting ──► draining ──► closed
 *    │            │               │                          ▲
 *    ├────────────┼───────────────┴──────────────────────────┤
 *    └────► transmitting (kernel mode)                       │
 *                 └──────────────────────────────────────────┘
 */
export type NbdPhase = 'idle' | 'negotiating' | 'transmitting' | 'draining' | 'closed';

const allowed: Readonly<Record<NbdPhase, readonly NbdPhase[]>> = {
  idle: ['negotiating', 'transmitting', 'closed'],
  negotiating: ['transmitting', 'closed'],
  transmitting: ['draining', 'closed'],
  draining: ['closed'],
  closed: [],
};

const noStream = -1;
/** What a cancelled receive reports: errno ECANCELED. */
const cancelled = 125;

/** One NBD client. Owns the socket: closes it, whatever happens, exactly once. */
export class NbdConnection implements StreamSink, BufferWaiter, HandshakeHost, TransmissionHost {
  readonly counters: Float64Array;
  readonly #fd: number;
  readonly #options: NbdConnectionOptions;
  readonly #limits: NbdLimits;
  readonly #reactor: Reactor;
  readonly #pool: BufferPool;
  readonly #in: ReceiveBuffer;
  #phase: NbdPhase = 'idle';
  #stream: ObjectId = noStream;
  /** The handshake's replies, then the reply ring: one buffer for the connection's life. */
  #memory = noBuffer;
  #handshake: HandshakeExchange | undefined;
  #transmission: Transmission | undefined;
  #replies: ReplyRing | undefined;
  #nbdExport: NbdExport | undefined;
  #cancelDeadline: (() => void) | undefined;
  #watch: StallWatch | undefined;
  #waitingForBuffer = false;

  /** Takes over the connected socket `fd`. Nothing happens before `start`. */
  constructor(fd: number, options: NbdConnectionOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#reactor = options.reactor;
    this.#pool = options.pool;
    const limits = { ...defaultLimits, ...options.limits };
    const largestPayload = options.pool.maximumLength - requestHeaderLength;
    this.#limits = { ...limits, payloadLength: Math.min(limits.payloadLength, largestPayload) };
    this.counters = options.counters ?? new Float64Array(nbdCounterCount);
    this.#in = new ReceiveBuffer(
      this.#reactor,
      this.#pool,
      this.#limits.chunkLength,
      this.counters,
    );
  }

  get phase(): NbdPhase {
    return this.#phase;
  }

  /** The export chosen in the handshake. */
  get nbdExport(): NbdExport | undefined {
    return this.#nbdExport;
  }

  /** Requests that the device has not reported yet, also after the end. */
  get requestsAtDevice(): number {
    return this.#transmission?.requestsAtDevice ?? 0;
  }

  start(): void {
    assert(this.#phase === 'idle', 'NBD connection started twice');
    if (!this.#open()) return;
    const slots = replyRingCapacity(this.#limits.requests);
    this.#memory = this.#pool.allocate(slots * replySlotLength);
    if (this.#memory === noBuffer) {
      this.end(NbdEnd.noMemory, 'no memory for replies');
      return;
    }
    const { serve } = this.#options;
    if ('device' in serve) {
      const agreement = { structuredReplies: false, allocationContext: false };
      this.#transmit(serve.device, agreement);
    } else {
      this.#negotiate(serve.exports, slots * replySlotLength);
    }
  }

  /**
   * Ends softly: no request is taken from the socket beyond the one that is partly read, all that is outstanding is answered, then
   * the connection closes with `drained`. A handshake is cut off.
   */
  drain(): void {
    if (this.#phase === 'idle' || this.#phase === 'negotiating') {
      this.end(NbdEnd.drained, 'during the handshake');
    } else if (this.#phase === 'transmitting') {
      this.#enter('draining');
      this.#transmission?.drain();
      if (this.#in.posted) this.#reactor.cancelReceive(this.#stream);
      else this.#advance();
    }
  }

  /** Ends at once. What the device still has is given back as it is reported. */
  close(detail = ''): void {
    this.end(NbdEnd.requested, detail);
  }

  onConnected(): void {
    throw new Error('an accepted stream does not connect');
  }

  onReceived(length: number, status: number): void {
    this.#in.onReceived(length);
    this.#transmission?.onReceived();
    if (status === endOfFile) {
      this.#handshake?.onEndOfFile();
      this.#transmission?.onEndOfFile();
    } else if (status !== 0 && status !== cancelled) {
      this.end(NbdEnd.connectionReset, `receive failed with errno ${status}`);
      return;
    }
    this.#advance();
  }

  onSent(tag: number, status: number): void {
    if (status !== 0) {
      const wanted = this.#handshake?.pendingEnd;
      this.end(wanted ?? NbdEnd.connectionReset, `send failed with errno ${status}`);
    } else if (this.#handshake !== undefined) {
      this.#handshake.onSent();
    } else {
      this.#replies?.onSent(tag);
      this.#transmission?.advance();
    }
  }

  onBuffersAvailable(): void {
    this.#waitingForBuffer = false;
    this.#advance();
  }

  /** For the phases. */
  waitForBuffer(): void {
    if (this.#waitingForBuffer) return;
    this.#waitingForBuffer = true;
    this.#pool.addWaiter(this);
  }

  /** For the phases. */
  onAgreed(nbdExport: NbdExport, agreement: Agreement): void {
    this.#cancelDeadline?.();
    this.#cancelDeadline = undefined;
    this.#handshake = undefined;
    this.#nbdExport = nbdExport;
    this.#transmit(nbdExport.device, agreement);
    this.#options.events.onTransmission?.(this, nbdExport);
  }

  /** For the phases: the one way to the end. The first reason counts. */
  end(end: NbdEnd, detail: string): void {
    if (this.#phase === 'closed') return;
    // Never started: opening is how the socket gets closed.
    if (this.#phase === 'idle' && this.#stream === noStream && !this.#open()) return;
    this.#enter('closed');
    this.#cancelDeadline?.();
    this.#watch?.stop();
    if (ruleEnds.has(end)) this.counters[NbdCounter.dropped]++;
    // From here on nobody touches the connection's memory.
    this.#reactor.close(this.#stream);
    this.#transmission?.close();
    this.#in.close();
    this.#replies?.close();
    this.#transmission?.settleShare();
    if (this.#memory !== noBuffer) this.#pool.release(this.#memory);
    this.#options.events.onClosed(this, end, detail);
  }

  /** False: the socket cannot be used, is closed, and the connection has ended. */
  #open(): boolean {
    try {
      this.#stream = this.#reactor.openStream(this.#fd, this);
    } catch (error) {
      this.#enter('closed');
      this.#options.events.onClosed(this, NbdEnd.connectionReset, String(error));
      return false;
    }
    this.#in.open(this.#stream);
    return true;
  }

  #negotiate(directory: ExportDirectory, memoryLength: number): void {
    this.#enter('negotiating');
    this.#cancelDeadline = this.#options.timers.schedule(this.#limits.handshakeMs, () => {
      this.#cancelDeadline = undefined;
      this.end(NbdEnd.handshakeTimeout, `not agreed after ${this.#limits.handshakeMs} ms`);
    });
    this.#handshake = new HandshakeExchange(
      this,
      this.#reactor,
      this.#stream,
      this.#in,
      new Handshake(directory, this.#limits),
      this.#memory,
      memoryLength,
    );
    this.#handshake.start();
  }

  #transmit(device: BlockDevice, agreement: Agreement): void {
    this.#enter('transmitting');
    const capacity = replyRingCapacity(this.#limits.requests);
    this.#replies = new ReplyRing(this.#reactor, this.#pool, this.#stream, this.#memory, capacity);
    this.#transmission = new Transmission({
      host: this,
      arena: this.#reactor.arena,
      pool: this.#pool,
      receiveBuffer: this.#in,
      replies: this.#replies,
      device,
      agreement,
      limits: this.#limits,
      counters: this.counters,
      latencies: this.#options.latencies,
      share: this.#options.share,
    });
    this.#watchForStalls(this.#transmission);
    this.#transmission.advance();
  }

  /** The kernel's client, which begins without a handshake, is trusted: it may be stalled by the very memory that we are to free. */
  #watchForStalls(transmission: Transmission): void {
    const { stallMs } = this.#limits;
    if (stallMs === 0 || 'device' in this.#options.serve) return;
    const { timers } = this.#options;
    this.#watch = new StallWatch(timers, stallMs, transmission, (end, detail) => {
      this.end(end, detail);
    });
  }

  #advance(): void {
    if (this.#handshake !== undefined) this.#handshake.advance();
    else this.#transmission?.advance();
  }

  #enter(next: NbdPhase): void {
    assert(allowed[this.#phase].includes(next), `NBD connection ${this.#phase} -> ${next}`);
    this.#phase = next;
  }
}

/** Replies may wait in the ring while as many requests are open again: twice the requests, as a power of two. */
function replyRingCapacity(requests: number): number {
  return Math.max(4, 2 ** Math.ceil(Math.log2(2 * requests)));
}
