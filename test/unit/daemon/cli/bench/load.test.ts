import { expect } from 'chai';
import { Load, readRange, type Workload } from '../../../../../daemon/cli/bench/load.ts';
import type { BlockDevice } from '../../../../../src/block/device.ts';
import {
  BlockError,
  BlockOperation,
  RequestTable,
} from '../../../../../src/block/request-table.ts';
import { SlabPool } from '../../../../../src/memory/slab-pool.ts';

const mebibyte = 2 ** 20;

/** Answers each request one virtual millisecond after the one before it. */
class SlowDevice implements BlockDevice {
  readonly requests = new RequestTable(64);
  readonly extents = { count: 0, length: new Float64Array(1), flags: new Uint32Array(1) };
  readonly geometry;
  readonly log: { operation: number; offset: number; length: number }[] = [];
  nowMs = 0;
  peak = 0;
  failAt = Infinity;
  #inFlight = 0;

  constructor(sizeBytes: number) {
    this.geometry = {
      sizeBytes,
      logicalBlockLength: 512,
      preferredLength: 4096,
      readOnly: false,
      rotational: false,
      canTrim: false,
      fastZeroes: false,
      knowsAllocation: false,
    };
  }

  submit(request: number): void {
    const { operation, offset, length } = this.requests;
    this.log.push({
      operation: operation[request],
      offset: offset[request],
      length: length[request],
    });
    this.peak = Math.max(this.peak, ++this.#inFlight);
    const fails = this.log.length > this.failAt;
    setImmediate(() => {
      this.nowMs++;
      this.#inFlight--;
      this.requests.complete(request, fails ? BlockError.ioError : BlockError.none);
    });
  }
}

describe('a load of the bench', () => {
  const bytes = new Uint8Array(8 * mebibyte);
  const arena = {
    sizeBytes: bytes.length,
    bytes,
    view: new DataView(bytes.buffer),
    base: 0n,
  };
  let device: SlowDevice;
  let pool: SlabPool;

  beforeEach(() => {
    device = new SlowDevice(mebibyte);
    pool = new SlabPool({ sizeBytes: bytes.length });
    bytes.fill(0);
  });

  const load = (changes: Partial<Workload> = {}): Load =>
    new Load(
      { device, pool, arena },
      { operation: 'read', order: 'random', blockBytes: 4096, depth: 4, ...changes },
      () => device.nowMs,
    );

  it('keeps as many requests in flight as it is told, and ends with none', async () => {
    await load({ depth: 7 }).run(0, 50);
    expect(device.peak).to.equal(7);
    expect(device.requests.inFlight).to.equal(0);
    expect(pool.statistics.usedBytes).to.equal(0);
  });

  it('counts what began after the warm-up', async () => {
    const { requests, seconds, latency } = await load({ depth: 1 }).run(10, 100);
    expect(device.log.length).to.be.at.least(110);
    expect(requests).to.be.within(98, 101);
    expect(seconds).to.be.closeTo(0.1, 0.005);
    expect(latency.maximum).to.equal(1000);
  });

  it('reads whole blocks anywhere on the device', async () => {
    await load().run(0, 400);
    const offsets = new Set(device.log.map(({ offset }) => offset));
    expect(offsets.size).to.be.above(100);
    for (const { operation, offset, length } of device.log) {
      expect(operation).to.equal(BlockOperation.read);
      expect(offset % 4096).to.equal(0);
      expect(offset + length).to.be.at.most(mebibyte);
    }
  });

  it('goes from the first block to the last and begins anew, in sequential order', async () => {
    await load({ order: 'sequential', blockBytes: 256 * 1024, depth: 2 }).run(0, 8);
    expect(device.log.slice(0, 6).map(({ offset }) => offset / (256 * 1024))).to.deep.equal([
      0, 1, 2, 3, 0, 1,
    ]);
  });

  it('writes what cannot be compressed', async () => {
    await load({ operation: 'write', depth: 1 }).run(0, 5);
    expect(device.log[0].operation).to.equal(BlockOperation.write);
    expect(new Set(bytes).size).to.be.above(200);
  });

  it('stops at the first request that fails, when nothing is in flight any more', async () => {
    device.failAt = 20;
    let failure: Error | undefined;
    await load()
      .run(0, 1000)
      .catch((error: unknown) => (failure = error as Error));
    expect(failure?.message).to.match(/^a read of 4096 bytes at offset \d+ failed: ioError$/);
    expect(device.requests.inFlight).to.equal(0);
    expect(pool.statistics.usedBytes).to.equal(0);
  });

  it('is refused on a device that is too small', () => {
    device = new SlowDevice(2048);
    expect(() => load()).to.throw(/smaller than one request of 4096 bytes/);
  });

  it('leaves a place to read one range', async () => {
    const read = await readRange({ device, pool, arena }, 512, 1024);
    expect(read.length).to.equal(1024);
    expect(device.log).to.deep.equal([{ operation: 0, offset: 512, length: 1024 }]);
    device.failAt = 0;
    let failure = '';
    await readRange({ device, pool, arena }, 0, 512).catch(
      (error: unknown) => (failure = (error as Error).message),
    );
    expect(failure).to.contain('offset 0 failed: ioError');
    expect(device.requests.inFlight).to.equal(0);
  });
});
