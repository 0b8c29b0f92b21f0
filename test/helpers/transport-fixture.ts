/** What transport tests share: a clock they wind themselves, a pool that counts, events that remember. */
import type { BufferPool, BufferPoolStatistics } from '../../src/memory/buffer-pool.ts';
import { noBuffer } from '../../src/memory/buffer-pool.ts';
import type { ArenaMemory } from '../../src/reactor/reactor.ts';
import type {
  ConnectionEnd,
  FullFeatureParameters,
  TransportEvents,
} from '../../src/transport/transport.ts';

/** Timers that run when the test says so. */
export class ManualTimers {
  #now = 0;
  readonly #pending: { at: number; action: () => void }[] = [];

  readonly schedule = (delayMs: number, action: () => void): (() => void) => {
    const entry = { at: this.#now + delayMs, action };
    this.#pending.push(entry);
    return () => {
      const index = this.#pending.indexOf(entry);
      if (index >= 0) this.#pending.splice(index, 1);
    };
  };

  get pending(): number {
    return this.#pending.length;
  }

  /** Lets `ms` pass: what falls due runs in order of time. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#pending
        .filter(({ at }) => at <= end)
        .sort((a, b) => a.at - b.at)
        .at(0);
      if (due === undefined) break;
      this.#pending.splice(this.#pending.indexOf(due), 1);
      this.#now = due.at;
      due.action();
    }
    this.#now = end;
  }
}

/** Hands out arena memory from low to high; knows what has not come back. */
export class CountingPool implements BufferPool {
  readonly maximumLength: number;
  readonly statistics: BufferPoolStatistics;
  readonly live = new Map<number, number>();
  /** The next allocations answer noBuffer. */
  failures = 0;
  readonly #end: number;
  #next: number;

  constructor(start: number, end: number) {
    this.#next = start;
    this.#end = end;
    this.maximumLength = end - start;
    this.statistics = { totalBytes: end - start, usedBytes: 0, peakUsedBytes: 0, failures: 0 };
  }

  allocate(length: number): number {
    if (this.failures > 0) {
      this.failures--;
      return noBuffer;
    }
    if (this.#next + length > this.#end) return noBuffer;
    const buffer = this.#next;
    this.#next += (length + 63) & ~63;
    this.live.set(buffer, length);
    return buffer;
  }

  retain(): void {
    throw new Error('transports do not share buffers');
  }

  release(buffer: number): void {
    if (!this.live.delete(buffer)) throw new Error(`buffer ${buffer} released twice`);
  }

  lengthOf(buffer: number): number {
    return this.live.get(buffer) ?? 0;
  }

  addWaiter(): void {
    throw new Error('transports do not wait for buffers');
  }
}

export interface SeenPdu {
  readonly pdu: number;
  readonly bhs: Uint8Array;
  readonly data: Uint8Array;
  /** The slot's readPlaced at that moment. */
  readonly placed: number;
}

/** Remembers what a transport reports; `hooks` lets a test answer. */
export class RecordingEvents implements TransportEvents {
  readonly pdus: SeenPdu[] = [];
  readonly ends: { end: ConnectionEnd; detail: string }[] = [];
  connected = 0;
  writable = 0;
  readonly hooks: {
    onConnected?: () => void;
    onPdu?: (seen: SeenPdu) => void;
    onClosed?: () => void;
  } = {};
  placedOf: (pdu: number) => number = () => 0;
  readonly #arena: ArenaMemory;

  constructor(arena: ArenaMemory) {
    this.#arena = arena;
  }

  onConnected(): void {
    this.connected++;
    this.hooks.onConnected?.();
  }

  onPdu(pdu: number, bhsOffset: number, dataOffset: number, dataLength: number): void {
    const { bytes } = this.#arena;
    const seen = {
      pdu,
      bhs: bytes.slice(bhsOffset, bhsOffset + 48),
      data: bytes.slice(dataOffset, dataOffset + dataLength),
      placed: pdu >= 0 ? this.placedOf(pdu) : 0,
    };
    this.pdus.push(seen);
    this.hooks.onPdu?.(seen);
  }

  onClosed(end: ConnectionEnd, detail: string): void {
    this.ends.push({ end, detail });
    this.hooks.onClosed?.();
  }

  onWritable(): void {
    this.writable++;
  }
}

export const defaultParameters: FullFeatureParameters = {
  headerDigest: false,
  dataDigest: false,
  initialR2t: true,
  immediateData: true,
  firstBurstLength: 65536,
  maxBurstLength: 262144,
  maxSendDataSegmentLength: 8192,
  maxReceiveDataSegmentLength: 262144,
  maxOutstandingR2t: 1,
  queueDepth: 8,
};

/** Bytes that differ from place to place and from `seed` to `seed`. */
export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed * 17) & 0xff);
}
