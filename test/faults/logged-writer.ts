/**
 * The load of the fault matrix: it writes over the same few places again and again, remembers what was acknowledged, and at the end
 * reads everything back. A place is written by one request at a time, so that it is known what must be there.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BlockAccess } from './block-access.ts';

const sectorBytes = 512;
/** "isrd", then the number of the write, the sector, and the run: what every 16 bytes of a sector say. */
const magic = 0x69737264;
const stampBytes = 16;
/** Lengths of the places in turn: below and above what travels as immediate data. */
const placeBytes = [4096, 4096, 16_384, 4096, 8192, 65_536] as const;

interface Place {
  readonly offset: number;
  readonly length: number;
  /** Number of the last write that was acknowledged; 0: none. */
  acknowledged: number;
  /** Later ones that ended with an error: each of their sectors may be there or not. */
  unsure: number[];
}

export interface WriterResult {
  readonly acknowledged: number;
  readonly failed: number;
  /** Read back and right. */
  readonly bytesVerified: number;
  /** First sectors that held something else. */
  readonly mismatches: readonly string[];
  /** Longest time between two acknowledgements, ms. */
  readonly longestStallMs: number;
  readonly errors: readonly string[];
}

export interface WriterOptions {
  readonly access: BlockAccess;
  readonly depth: number;
  /** Region of the device, bytes. */
  readonly offset: number;
  readonly length: number;
  /** Distinguishes this run's stamps from those that earlier ones have left. */
  readonly run: number;
}

export class LoggedWriter {
  readonly #options: WriterOptions;
  readonly #places: Place[] = [];
  /** Places that no request is writing; taken from a random position. */
  readonly #idle: Place[] = [];
  readonly #errors = new Set<string>();
  #issued = 0;
  #acknowledged = 0;
  #failed = 0;
  #lastAckMs = 0;
  #longestStallMs = 0;
  #stopping = false;
  #workers: Promise<unknown> = Promise.resolve();
  readonly #waiters: { readonly done: () => boolean; readonly wake: () => void }[] = [];

  constructor(options: WriterOptions) {
    this.#options = options;
    let at = options.offset;
    for (let i = 0; ; i++) {
      const length = placeBytes[i % placeBytes.length];
      if (at + length > options.offset + options.length) break;
      this.#places.push({ offset: at, length, acknowledged: 0, unsure: [] });
      at += length;
    }
    this.#idle.push(...this.#places);
  }

  /** Bytes that `access.allocate` will be asked for. */
  static memoryBytes(depth: number): number {
    return (depth + 1) * Math.max(...placeBytes);
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get failed(): number {
    return this.#failed;
  }

  start(): void {
    this.#lastAckMs = performance.now();
    this.#workers = Promise.all(Array.from({ length: this.#options.depth }, () => this.#work()));
  }

  /** Resolves when `count` more writes have been acknowledged; rejects after `timeoutMs`. */
  async whenAcknowledged(count: number, timeoutMs: number): Promise<void> {
    const goal = this.#acknowledged + count;
    await this.#when(() => this.#acknowledged >= goal, timeoutMs, `${count} acknowledgements`);
  }

  /** Resolves when `count` more writes have failed. */
  async whenFailed(count: number, timeoutMs: number): Promise<void> {
    const goal = this.#failed + count;
    await this.#when(() => this.#failed >= goal, timeoutMs, `${count} errors`);
  }

  /** Resolves when a write has been acknowledged or has failed that was issued after this call. */
  async whenIssuedNowIsDone(timeoutMs: number): Promise<void> {
    const goal = this.#acknowledged + this.#failed + this.#options.depth + 1;
    await this.#when(
      () => this.#acknowledged + this.#failed >= goal,
      timeoutMs,
      'a write of its own',
    );
  }

  /** Issues nothing more, waits for what is outstanding, reads everything back. */
  async finish(): Promise<WriterResult> {
    this.#stopping = true;
    await this.#workers;
    const { access } = this.#options;
    const buffer = access.allocate(Math.max(...placeBytes));
    const mismatches: string[] = [];
    let bytesVerified = 0;
    for (const place of this.#places) {
      if (place.acknowledged === 0) continue;
      const found = buffer.subarray(0, place.length);
      await access.read(place.offset, found);
      const wrong = this.#firstWrongSector(place, found);
      if (wrong === undefined) bytesVerified += place.length;
      else if (mismatches.length < 10) mismatches.push(wrong);
    }
    return {
      acknowledged: this.#acknowledged,
      failed: this.#failed,
      bytesVerified,
      mismatches,
      longestStallMs: Math.round(this.#longestStallMs),
      errors: [...this.#errors],
    };
  }

  async #work(): Promise<void> {
    const { access } = this.#options;
    const buffer = access.allocate(Math.max(...placeBytes));
    while (!this.#stopping) {
      const place = this.#takeIdle();
      const number = ++this.#issued;
      const payload = buffer.subarray(0, place.length);
      this.#stamp(payload, place, number);
      try {
        await access.write(place.offset, payload);
        place.acknowledged = number;
        place.unsure = [];
        this.#noteAcknowledgement();
      } catch (error) {
        place.unsure.push(number);
        this.#failed++;
        this.#errors.add((error as Error).message);
        // What fails at once is not asked in a tight loop.
        await delay(20);
      }
      this.#idle.push(place);
      this.#wake();
    }
  }

  #takeIdle(): Place {
    const at = Math.floor(Math.random() * this.#idle.length);
    const place = this.#idle[at];
    const last = this.#idle.pop();
    if (last !== undefined && last !== place) this.#idle[at] = last;
    return place;
  }

  #noteAcknowledgement(): void {
    const nowMs = performance.now();
    this.#longestStallMs = Math.max(this.#longestStallMs, nowMs - this.#lastAckMs);
    this.#lastAckMs = nowMs;
    this.#acknowledged++;
  }

  #stamp(payload: Buffer, place: Place, number: number): void {
    for (let at = 0; at < payload.length; at += stampBytes) {
      payload.writeUInt32BE(magic, at);
      payload.writeUInt32BE(number, at + 4);
      payload.writeUInt32BE(Math.floor((place.offset + at) / sectorBytes), at + 8);
      payload.writeUInt32BE(this.#options.run, at + 12);
    }
  }

  #firstWrongSector(place: Place, found: Buffer): string | undefined {
    const candidates = [place.acknowledged, ...place.unsure].map((number) => {
      const expected = Buffer.alloc(place.length);
      this.#stamp(expected, place, number);
      return expected;
    });
    for (let at = 0; at < place.length; at += sectorBytes) {
      const end = at + sectorBytes;
      if (candidates.some((expected) => found.compare(expected, at, end, at, end) === 0)) continue;
      const held = found.subarray(at, at + stampBytes).toString('hex');
      return `offset ${place.offset + at}: write ${place.acknowledged} of run ${this.#options.run} was acknowledged, found ${held}`;
    }
    return undefined;
  }

  #when(done: () => boolean, timeoutMs: number, what: string): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const errors = [...this.#errors].join(', ');
        reject(
          new Error(
            `the load: no ${what} within ${timeoutMs} ms, ${this.#failed} errors (${errors})`,
          ),
        );
      }, timeoutMs);
      this.#waiters.push({
        done,
        wake: () => {
          clearTimeout(timer);
          resolve();
        },
      });
    });
  }

  #wake(): void {
    for (let i = this.#waiters.length - 1; i >= 0; i--) {
      if (!this.#waiters[i].done()) continue;
      const [waiter] = this.#waiters.splice(i, 1);
      waiter.wake();
    }
  }
}
