import { expect } from 'chai';
import fc from 'fast-check';
import { noBuffer } from '../../../src/memory/buffer-pool.ts';
import type { BufferWaiter } from '../../../src/memory/buffer-pool.ts';
import { SlabPool } from '../../../src/memory/slab-pool.ts';

const segmentBytes = 8192;

function newPool(segments = 4, more: Partial<ConstructorParameters<typeof SlabPool>[0]> = {}) {
  return new SlabPool({ sizeBytes: segments * segmentBytes, segmentBytes, ...more });
}

class CountingWaiter implements BufferWaiter {
  calls = 0;
  readonly #then: (() => void) | undefined;

  constructor(then?: () => void) {
    this.#then = then;
  }

  onBuffersAvailable(): void {
    this.calls += 1;
    this.#then?.();
  }
}

describe('slab pool: sizes', () => {
  it('rounds lengths up to powers of two from 512', () => {
    const pool = newPool(16);
    const lengths = [1, 512, 513, 1024, 1025, 4096];
    expect(lengths.map((length) => pool.lengthOf(pool.allocate(length)))).to.deep.equal([
      512, 512, 1024, 1024, 2048, 4096,
    ]);
  });

  it('gives whole segments to lengths above half a segment', () => {
    const pool = newPool();
    expect(pool.lengthOf(pool.allocate(4097))).to.equal(segmentBytes);
    expect(pool.lengthOf(pool.allocate(segmentBytes + 1))).to.equal(2 * segmentBytes);
  });

  it('serves 512 bytes to 64 MiB from 2 MiB segments by default', () => {
    const mebibyte = 1024 * 1024;
    const pool = new SlabPool({ sizeBytes: 130 * mebibyte });
    expect(pool.maximumLength).to.equal(64 * mebibyte);
    expect(pool.lengthOf(pool.allocate(64 * mebibyte))).to.equal(64 * mebibyte);
    expect(pool.lengthOf(pool.allocate(mebibyte))).to.equal(mebibyte);
    expect(pool.lengthOf(pool.allocate(mebibyte + 1))).to.equal(2 * mebibyte);
    expect(pool.statistics.totalBytes).to.equal(130 * mebibyte);
  });

  it('never gives more than the whole pool', () => {
    const pool = newPool(4);
    expect(pool.maximumLength).to.equal(4 * segmentBytes);
    expect(() => pool.allocate(4 * segmentBytes + 1)).to.throw('within limits');
    expect(() => pool.allocate(0)).to.throw('within limits');
  });

  it('keeps room for large buffers that small ones cannot break up', () => {
    const pool = newPool(4, { largeBytes: 2 * segmentBytes });
    expect(pool.maximumLength).to.equal(2 * segmentBytes);
    const small: number[] = [];
    for (let buffer = pool.allocate(256); buffer !== noBuffer; buffer = pool.allocate(256)) {
      small.push(buffer);
    }
    expect(small).to.have.length((2 * segmentBytes) / 512);
    expect(pool.allocate(2 * segmentBytes)).to.equal(2 * segmentBytes);
  });

  it('gives a payload a segment of that room when there is no other', () => {
    const pool = newPool(4, { largeBytes: 2 * segmentBytes });
    for (let buffer = pool.allocate(256); buffer !== noBuffer;) buffer = pool.allocate(256);
    const payload = pool.allocate(1024);
    expect(pool.lengthOf(payload)).to.equal(segmentBytes);
    expect(pool.allocate(2 * segmentBytes)).to.equal(noBuffer);
    pool.release(payload);
    expect(pool.allocate(2 * segmentBytes)).to.equal(2 * segmentBytes);
  });

  it('starts at its offset and leaves a partial segment at the end alone', () => {
    const pool = new SlabPool({ offset: 1024, sizeBytes: 2 * segmentBytes + 100, segmentBytes });
    const buffers = [pool.allocate(segmentBytes), pool.allocate(segmentBytes)];
    expect(buffers).to.deep.equal([1024, 1024 + segmentBytes]);
    expect(pool.allocate(1)).to.equal(noBuffer);
  });

  it('refuses impossible shapes', () => {
    expect(() => newPool(0)).to.throw('at least one segment');
    expect(() => newPool(1, { segmentBytes: 3000 })).to.throw('power of two');
    expect(() => newPool(1, { segmentBytes: 512 })).to.throw('two buffers');
    expect(() => newPool(1, { offset: 100 })).to.throw('multiple of 512');
  });
});

describe('slab pool: reuse', () => {
  it('gives the buffer freed last first', () => {
    const pool = newPool();
    const [first, second] = [pool.allocate(512), pool.allocate(512), pool.allocate(512)];
    pool.release(first);
    pool.release(second);
    expect([pool.allocate(512), pool.allocate(512)]).to.deep.equal([second, first]);
  });

  it('fills segments in use before it opens another', () => {
    const pool = newPool(4);
    const buffers = Array.from({ length: 32 }, () => pool.allocate(512));
    expect(pool.touchedBytes).to.equal(2 * segmentBytes);
    pool.release(buffers[0]);
    expect(pool.allocate(512)).to.equal(buffers[0]);
    expect(pool.touchedBytes).to.equal(2 * segmentBytes);
  });

  it('touches no more memory than the peak of use needed', () => {
    const pool = newPool(4);
    for (let i = 0; i < 100; i++) {
      const length = 512 << (i % 5);
      const buffer = pool.allocate(length);
      pool.release(buffer);
    }
    expect(pool.touchedBytes).to.equal(segmentBytes);
  });

  it('returns empty segments to the common pool', () => {
    const pool = newPool(2);
    const small = [pool.allocate(512), pool.allocate(1024)];
    expect(pool.allocate(2 * segmentBytes)).to.equal(noBuffer);
    for (const buffer of small) pool.release(buffer);
    expect(pool.allocate(2 * segmentBytes)).to.equal(0);
  });

  it('falls back to a larger class when segments have run out', () => {
    const pool = newPool(1);
    pool.allocate(4096);
    const buffer = pool.allocate(512);
    expect(pool.lengthOf(buffer)).to.equal(4096);
    expect(pool.allocate(512)).to.equal(noBuffer);
  });

  it('finds a run between segments in use', () => {
    const pool = newPool(5);
    const singles = Array.from({ length: 5 }, () => pool.allocate(segmentBytes));
    pool.release(singles[0]);
    pool.release(singles[2]);
    pool.release(singles[3]);
    expect(pool.allocate(2 * segmentBytes)).to.equal(singles[2]);
    expect(pool.allocate(2 * segmentBytes)).to.equal(noBuffer);
    expect(pool.allocate(segmentBytes)).to.equal(singles[0]);
  });
});

describe('slab pool: references', () => {
  it('keeps a buffer until its last reference is gone', () => {
    const pool = newPool(1);
    const buffer = pool.allocate(segmentBytes);
    pool.retain(buffer);
    pool.release(buffer);
    expect(pool.allocate(1)).to.equal(noBuffer);
    pool.release(buffer);
    expect(pool.allocate(1)).to.equal(buffer);
  });

  it('refuses a double free', () => {
    const pool = newPool();
    const buffer = pool.allocate(512);
    pool.release(buffer);
    expect(() => {
      pool.release(buffer);
    }).to.throw('freed already');
  });

  it('refuses what is not the start of a buffer', () => {
    const pool = newPool();
    pool.allocate(2048);
    for (const wrong of [-1, 512, 1, 100, 1024 * 1024 * 1024]) {
      expect(() => {
        pool.retain(wrong);
      }).to.throw('no such buffer');
      expect(() => pool.lengthOf(wrong)).to.throw('no such buffer');
    }
  });

  it('overwrites released memory when told to poison', () => {
    const bytes = new Uint8Array(segmentBytes);
    const pool = newPool(1, { poison: bytes });
    const buffer = pool.allocate(512);
    pool.release(buffer);
    expect(bytes.subarray(buffer, buffer + 512).every((byte) => byte === 0xdb)).to.equal(true);
    expect(bytes[buffer + 512]).to.equal(0);
  });

  it('counts use, peak and failures', () => {
    const pool = newPool(1);
    const buffer = pool.allocate(5000);
    pool.allocate(1);
    expect(pool.statistics.usedBytes).to.equal(segmentBytes);
    pool.release(buffer);
    expect(pool.statistics).to.deep.equal({
      totalBytes: segmentBytes,
      usedBytes: 0,
      peakUsedBytes: segmentBytes,
      failures: 1,
    });
  });
});

describe('slab pool: waiters', () => {
  function poolWithSchedule() {
    const scheduled: (() => void)[] = [];
    const pool = newPool(2, { schedule: (flush) => scheduled.push(flush) });
    return { pool, scheduled };
  }

  it('tells a waiter once, in a later turn, however many buffers were released', () => {
    const { pool, scheduled } = poolWithSchedule();
    const buffers = [pool.allocate(512), pool.allocate(512)];
    const waiter = new CountingWaiter();
    pool.addWaiter(waiter);
    pool.addWaiter(waiter);
    for (const buffer of buffers) pool.release(buffer);
    expect(waiter.calls).to.equal(0);
    expect(scheduled).to.have.length(1);
    scheduled[0]();
    expect(waiter.calls).to.equal(1);
    pool.release(pool.allocate(512));
    expect(scheduled).to.have.length(1);
  });

  it('tells nobody before something was released', () => {
    const { pool } = poolWithSchedule();
    const waiter = new CountingWaiter();
    pool.addWaiter(waiter);
    pool.flushWaiters();
    expect(waiter.calls).to.equal(0);
  });

  it('does not schedule when nobody waits, nor for references that remain', () => {
    const { pool, scheduled } = poolWithSchedule();
    const buffer = pool.allocate(512);
    pool.retain(buffer);
    const waiter = new CountingWaiter();
    pool.addWaiter(waiter);
    pool.release(buffer);
    expect(scheduled).to.have.length(0);
    pool.release(buffer);
    expect(scheduled).to.have.length(1);
  });

  it('keeps a waiter that adds itself again for the next release', () => {
    const { pool } = poolWithSchedule();
    const waiter: CountingWaiter = new CountingWaiter(() => {
      pool.addWaiter(waiter);
    });
    pool.addWaiter(waiter);
    pool.release(pool.allocate(512));
    pool.flushWaiters();
    pool.flushWaiters();
    expect(waiter.calls).to.equal(1);
    pool.release(pool.allocate(512));
    pool.flushWaiters();
    expect(waiter.calls).to.equal(2);
  });

  it('tells waiters again when a waiter releases memory, never re-entrantly', () => {
    const { pool } = poolWithSchedule();
    const [first, second] = [pool.allocate(512), pool.allocate(512)];
    const late = new CountingWaiter();
    let callsWithin = -1;
    const releasing = new CountingWaiter(() => {
      pool.addWaiter(late);
      pool.release(second);
      pool.flushWaiters();
      callsWithin = late.calls;
    });
    pool.addWaiter(releasing);
    pool.release(first);
    pool.flushWaiters();
    expect(callsWithin).to.equal(0);
    expect(late.calls).to.equal(1);
  });

  it('puts off the rest when waiters release for ever', () => {
    const { pool, scheduled } = poolWithSchedule();
    const greedy: CountingWaiter = new CountingWaiter(() => {
      pool.addWaiter(greedy);
      pool.release(pool.allocate(512));
    });
    pool.addWaiter(greedy);
    pool.release(pool.allocate(512));
    pool.flushWaiters();
    expect(greedy.calls).to.equal(8);
    expect(scheduled).to.have.length(2);
  });

  it('uses a microtask by default', async () => {
    const pool = newPool();
    const waiter = new CountingWaiter();
    pool.addWaiter(waiter);
    pool.release(pool.allocate(512));
    expect(waiter.calls).to.equal(0);
    await Promise.resolve();
    expect(waiter.calls).to.equal(1);
  });
});

describe('slab pool: trim', () => {
  it('names each unused range once, whole segments only', () => {
    const pool = newPool(6, { offset: 512 });
    const buffers = Array.from({ length: 5 }, () => pool.allocate(segmentBytes));
    for (const index of [0, 2, 3]) pool.release(buffers[index]);
    const ranges: number[][] = [];
    pool.trim((offset, length) => ranges.push([offset, length]));
    expect(ranges).to.deep.equal([
      [512, segmentBytes],
      [512 + 2 * segmentBytes, 2 * segmentBytes],
    ]);
    expect(pool.touchedBytes).to.equal(2 * segmentBytes);
    pool.trim(() => expect.fail('trimmed twice'));
  });
});

describe('slab pool: any sequence', () => {
  interface Live {
    offset: number;
    length: number;
    asked: number;
    references: number;
  }
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant('allocate'),
        n: fc.oneof(fc.nat(1023), fc.nat(3 * segmentBytes)),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('retain'), n: fc.nat() }) },
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('release'), n: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('trim'), n: fc.nat() }) },
  );
  const shapes = fc.record({
    segments: fc.integer({ min: 1, max: 8 }),
    offset: fc.integer({ min: 0, max: 3 }).map((n) => n * 512),
    steps: fc.array(step, { maxLength: 120, size: 'max' }),
  });

  function checkNew(live: readonly Live[], added: Live, end: number): void {
    expect(added.offset % 64).to.equal(0);
    expect(added.length).to.be.at.least(added.asked);
    expect(added.offset + added.length).to.be.at.most(end);
    for (const other of live) {
      const apart =
        added.offset + added.length <= other.offset || other.offset + other.length <= added.offset;
      expect(apart, `${added.offset} +${added.length} and ${other.offset}`).to.equal(true);
    }
  }

  it('never hands out overlapping memory and loses none', () => {
    fc.assert(
      fc.property(shapes, ({ segments, offset, steps }) => {
        const pool = newPool(segments, { offset });
        const end = offset + segments * segmentBytes;
        let live: Live[] = [];
        for (const { kind, n } of steps) {
          const chosen = live[n % Math.max(1, live.length)] as Live | undefined;
          if (kind === 'allocate') {
            const asked = Math.min(n + 1, pool.maximumLength);
            const at = pool.allocate(asked);
            if (at === noBuffer) {
              expect(live).to.not.have.length(0);
              continue;
            }
            const added = { offset: at, length: pool.lengthOf(at), asked, references: 1 };
            checkNew(live, added, end);
            live.push(added);
          } else if (kind === 'retain' && chosen !== undefined) {
            pool.retain(chosen.offset);
            chosen.references += 1;
          } else if (kind === 'release' && chosen !== undefined) {
            pool.release(chosen.offset);
            chosen.references -= 1;
            live = live.filter((buffer) => buffer.references > 0);
          } else if (kind === 'trim') {
            pool.trim((at, length) => {
              const free = live.every((b) => b.offset + b.length <= at || at + length <= b.offset);
              expect(free, 'trims only what is free').to.equal(true);
            });
          }
          const used = live.reduce((sum, buffer) => sum + buffer.length, 0);
          expect(pool.statistics.usedBytes).to.equal(used);
        }
        for (const buffer of live) {
          for (let i = 0; i < buffer.references; i++) pool.release(buffer.offset);
        }
        expect(pool.statistics.usedBytes).to.equal(0);
        expect(pool.allocate(pool.maximumLength)).to.equal(offset);
      }),
      { numRuns: 200 },
    );
  });
});
