/** A ScsiBlockDevice over a RAM logical unit, with everything under it, and requests as promises' poor relations. */
import { probeLogicalUnit, type ProbeOptions } from '../../src/block/probe.ts';
import type { LogicalUnitProfile } from '../../src/block/profile.ts';
import { RequestTable, type RequestOwner } from '../../src/block/request-table.ts';
import { allocateZeroBuffer } from '../../src/block/scratch.ts';
import { ScsiBlockDevice } from '../../src/block/translator.ts';
import type { ScsiBlockDeviceOptions } from '../../src/block/translator-options.ts';
import { noBuffer, type BufferPool } from '../../src/memory/buffer-pool.ts';
import type { ArenaMemory } from '../../src/reactor/reactor.ts';
import { FakeScsiSession, ManualTimers } from './fake-scsi-session.ts';
import { RamLogicalUnit, type RamLogicalUnitOptions } from './ram-logical-unit.ts';

/** Hands out memory once and never again; enough for what a device allocates at construction. */
export class OncePool implements BufferPool {
  readonly maximumLength: number;
  readonly statistics;
  readonly live = new Map<number, number>();
  #next: number;

  constructor(offset: number, length: number) {
    this.#next = offset;
    this.maximumLength = length;
    this.statistics = { totalBytes: length, usedBytes: 0, peakUsedBytes: 0, failures: 0 };
  }

  allocate(length: number): number {
    if (this.statistics.usedBytes + length > this.maximumLength) return noBuffer;
    const buffer = this.#next;
    this.#next += Math.ceil(length / 64) * 64;
    this.statistics.usedBytes += length;
    this.live.set(buffer, length);
    return buffer;
  }

  retain(): void {
    throw new Error('not used');
  }

  release(buffer: number): void {
    if (!this.live.delete(buffer)) throw new Error('released twice');
  }

  lengthOf(buffer: number): number {
    return this.live.get(buffer) ?? 0;
  }

  addWaiter(): void {
    throw new Error('not used');
  }
}

export function ramArena(sizeBytes: number): ArenaMemory {
  const buffer = new ArrayBuffer(sizeBytes);
  return { sizeBytes, bytes: new Uint8Array(buffer), view: new DataView(buffer), base: 0n };
}

export const promptProbe: ProbeOptions = {
  delay: () => Promise.resolve(),
  readyAttempts: 5,
  readyPauseMs: 1,
};

export interface Finished {
  readonly request: number;
  readonly error: number;
  readonly extents: readonly (readonly [number, number])[];
}

const payloadBytes = 4 << 20;
const poolBytes = 512 << 10;

export class BlockFixture implements RequestOwner {
  readonly unit: RamLogicalUnit;
  readonly arena = ramArena(payloadBytes + poolBytes);
  readonly pool = new OncePool(payloadBytes, poolBytes);
  readonly timers = new ManualTimers();
  readonly session: FakeScsiSession;
  readonly requests: RequestTable;
  readonly device: ScsiBlockDevice;
  readonly finished: Finished[] = [];
  /** Called when a request has ended, before its slot is free. */
  onDone: ((request: number) => void) | undefined;
  #insideSubmit = false;

  constructor(
    profile: LogicalUnitProfile,
    unit: RamLogicalUnit,
    overrides: Partial<ScsiBlockDeviceOptions> & {
      readonly taskCapacity?: number;
      readonly requestCapacity?: number;
      readonly zeroLength?: number;
    } = {},
  ) {
    this.unit = unit;
    this.session = new FakeScsiSession(
      unit,
      this.arena.bytes,
      this.timers,
      overrides.taskCapacity ?? 16,
    );
    this.requests = new RequestTable(overrides.requestCapacity ?? 32);
    this.device = new ScsiBlockDevice({
      session: this.session,
      requests: this.requests,
      profile,
      readOnly: false,
      arena: this.arena,
      pool: this.pool,
      zeroes: allocateZeroBuffer(this.arena, this.pool, overrides.zeroLength ?? 16384),
      timers: this.timers,
      maxTransferLength: 1 << 20,
      window: 4,
      replacementTimeoutMs: 120_000,
      commandTimeoutMs: 30_000,
      slowCommandTimeoutMs: 60_000,
      ...overrides,
    });
  }

  static async create(
    options: RamLogicalUnitOptions,
    overrides: ConstructorParameters<typeof BlockFixture>[2] = {},
  ): Promise<BlockFixture> {
    const unit = new RamLogicalUnit(options);
    const timers = new ManualTimers();
    const probing = new FakeScsiSession(unit, new Uint8Array(0), timers, 1);
    const { profile } = await probeLogicalUnit(probing, promptProbe);
    unit.log.length = 0;
    return new BlockFixture(profile, unit, overrides);
  }

  /** Submits a request; its slot number. `buffer` is an offset in the arena's payload part. */
  submit(operation: number, offset: number, length: number, flags = 0, buffer = 0): number {
    const { requests } = this;
    const request = requests.allocate(this);
    if (request < 0) throw new Error('no request slot');
    requests.operation[request] = operation;
    requests.offset[request] = offset;
    requests.length[request] = length;
    requests.flags[request] = flags;
    requests.bufferOffset[request] = buffer;
    this.#insideSubmit = true;
    this.device.submit(request);
    this.#insideSubmit = false;
    return request;
  }

  /** Submits, and lets everything run to the end. The request's error. */
  run(operation: number, offset: number, length: number, flags = 0, buffer = 0): number {
    const request = this.submit(operation, offset, length, flags, buffer);
    this.settle();
    const done = this.finished.findLast((entry) => entry.request === request);
    if (done === undefined) throw new Error('the request has not ended');
    return done.error;
  }

  /** Batches, until nothing moves any more. */
  settle(pick?: (count: number) => number): void {
    for (let round = 0; round < 10_000; round++) {
      this.session.runAll(pick);
      this.device.flush();
      if (this.session.pending.length === 0 && this.timers.armed === 0) return;
      if (this.session.pending.length === 0) this.timers.advance(1000);
    }
    throw new Error('does not come to rest');
  }

  get lastExtents(): readonly (readonly [number, number])[] {
    return this.finished.at(-1)?.extents ?? [];
  }

  onRequestDone(request: number): void {
    if (this.#insideSubmit) throw new Error('a request ended within submit');
    const { extents } = this.device;
    this.finished.push({
      request,
      error: this.requests.error[request],
      extents: Array.from({ length: extents.count }, (_, index) => [
        extents.length[index],
        extents.flags[index],
      ]),
    });
    this.onDone?.(request);
    this.requests.free(request);
  }
}
