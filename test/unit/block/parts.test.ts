import { expect } from 'chai';
import fc from 'fast-check';
import { ExtentBuffer } from '../../../src/block/extents.ts';
import { RequestPhase, RequestProgress } from '../../../src/block/progress.ts';
import { RequestRing } from '../../../src/block/request-ring.ts';
import { ScratchSlots, allocateZeroBuffer, scratchSlotLength } from '../../../src/block/scratch.ts';
import { pieceEnd, roundDown, roundUp } from '../../../src/block/split.ts';
import { CodedError } from '../../../src/errors.ts';
import { OncePool, ramArena } from '../../helpers/block-fixture.ts';

describe('splitting', () => {
  it('leaves whole what fits', () => {
    expect(pieceEnd(100, 612, 512, 4096, 0)).to.equal(612);
  });

  it('cuts at a granule boundary when there is one in reach', () => {
    expect(pieceEnd(512, 100_000, 8192, 4096, 0)).to.equal(8192);
    expect(pieceEnd(512, 100_000, 8192, 4096, 1024)).to.equal(5120);
  });

  it('cuts at the maximum when no boundary is in reach', () => {
    expect(pieceEnd(512, 100_000, 1024, 4096, 0)).to.equal(1536);
  });

  it('pieces are contiguous, within the maximum, and aligned from the second one on if a granule fits', () => {
    fc.assert(
      fc.property(
        fc.nat(10_000),
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 100 }),
        fc.nat(200),
        (start, length, maximum, granularity, alignment) => {
          let position = start;
          while (position < start + length) {
            const end = pieceEnd(position, start + length, maximum, granularity, alignment);
            expect(end).to.be.greaterThan(position);
            expect(end - position).to.be.at.most(maximum);
            const last = end === start + length;
            if (!last && maximum >= granularity) {
              expect((end - (alignment % granularity)) % granularity).to.be.oneOf([0, -0]);
            }
            position = end;
          }
          expect(position).to.equal(start + length);
        },
      ),
    );
  });

  it('rounds to granules that begin at the alignment', () => {
    expect(roundUp(1, 8, 3)).to.equal(3);
    expect(roundUp(3, 8, 3)).to.equal(3);
    expect(roundUp(4, 8, 11)).to.equal(11);
    expect(roundDown(10, 8, 3)).to.equal(3);
    expect(roundDown(2, 8, 3)).to.equal(-5);
  });
});

describe('the request ring', () => {
  it('is first in, first out, across its end, with a way back to the front', () => {
    const ring = new RequestRing(3);
    ring.push(1);
    ring.push(2);
    expect(ring.shift()).to.equal(1);
    ring.push(3);
    ring.push(4);
    expect(ring.shift()).to.equal(2);
    ring.unshift(2);
    expect([ring.shift(), ring.shift(), ring.shift()]).to.deep.equal([2, 3, 4]);
    expect(ring.length).to.equal(0);
  });

  it('notices overflow and underflow', () => {
    const ring = new RequestRing(1);
    expect(() => ring.shift()).to.throw('empty');
    ring.push(1);
    expect(() => {
      ring.push(2);
    }).to.throw('full');
    expect(() => {
      ring.unshift(2);
    }).to.throw('full');
  });
});

describe('request progress', () => {
  it('refuses phases out of order', () => {
    const progress = new RequestProgress(2);
    progress.enter(1, RequestPhase.synchronize);
    expect(() => {
      progress.enter(1, RequestPhase.data);
    }).to.throw('phase 2 to 1');
    expect(() => {
      progress.begin(1);
    }).to.throw('submitted twice');
  });
});

describe('scratch memory', () => {
  it('gives every slot once, and its memory back at the end', () => {
    const pool = new OncePool(4096, 8192);
    const slots = new ScratchSlots(pool, 2);
    const [first, second] = [slots.take(), slots.take()];
    expect(slots.take()).to.equal(-1);
    expect(Math.abs(slots.offsetOf(first) - slots.offsetOf(second))).to.equal(scratchSlotLength);
    expect(() => {
      slots.close();
    }).to.throw('in use');
    slots.giveBack(first);
    slots.giveBack(second);
    expect(() => {
      slots.giveBack(second);
    }).to.throw('twice');
    slots.close();
    expect(pool.live.size).to.equal(0);
  });

  it('a pool that is too small is an error at construction that says what is short', () => {
    expect(() => new ScratchSlots(new OncePool(0, 100), 2)).to.throw(CodedError, '2048 bytes');
  });

  it('the zero buffer is zero even in used memory', () => {
    const arena = ramArena(8192);
    arena.bytes.fill(0xff);
    const zeroes = allocateZeroBuffer(arena, new OncePool(4096, 4096), 1000);
    expect(zeroes).to.deep.equal({ offset: 4096, length: 1000 });
    expect(arena.bytes.subarray(4096, 5096).every((byte) => byte === 0)).to.equal(true);
    expect(arena.bytes[4095]).to.equal(0xff);
    expect(arena.bytes[5096]).to.equal(0xff);
  });
});

describe('extents from GET LBA STATUS', () => {
  const block = 512;

  function answer(descriptors: readonly (readonly [number, number, number])[]): DataView {
    const view = new DataView(new ArrayBuffer(8 + descriptors.length * 16));
    view.setUint32(0, view.byteLength - 4);
    for (const [index, [lba, blocks, status]] of descriptors.entries()) {
      view.setBigUint64(8 + index * 16, BigInt(lba));
      view.setUint32(16 + index * 16, blocks);
      view.setUint8(20 + index * 16, status);
    }
    return view;
  }

  function extentsOf(
    descriptors: readonly (readonly [number, number, number])[],
    position: number,
    end: number,
    readsZero = true,
    capacity = 8,
  ) {
    const extents = new ExtentBuffer(capacity);
    const view = answer(descriptors);
    extents.fill(view, 0, view.byteLength, position, end, block, readsZero);
    return Array.from({ length: extents.count }, (_, i) => [extents.length[i], extents.flags[i]]);
  }

  it('maps every provisioning status to its flags', () => {
    const statuses = [0, 1, 2, 3, 4, 15].map((status, index) => [index, 1, status] as const);
    expect(extentsOf(statuses, 0, 6 * block)).to.deep.equal([
      [512, 0],
      [512, 3],
      [512, 2],
      [1536, 0],
    ]);
    expect(extentsOf(statuses, 0, 3 * block, false)).to.deep.equal([
      [512, 0],
      [512, 1],
      [512, 0],
    ]);
  });

  it('merges equal neighbours and clips at both ends', () => {
    expect(
      extentsOf(
        [
          [0, 4, 1],
          [4, 4, 1],
          [8, 100, 0],
        ],
        2 * block,
        10 * block,
      ),
    ).to.deep.equal([
      [6 * block, 3],
      [2 * block, 0],
    ]);
  });

  it('an extent that ends exactly at the end of the request is the last one', () => {
    expect(
      extentsOf(
        [
          [0, 4, 1],
          [4, 4, 0],
        ],
        0,
        4 * block,
      ),
    ).to.deep.equal([[4 * block, 3]]);
  });

  it('extents beyond 4 GiB keep their length', () => {
    const huge = 0xffffffff;
    expect(extentsOf([[0, huge, 1]], 0, huge * block)).to.deep.equal([[huge * block, 3]]);
  });

  it('stops at a gap, and at the first descriptor beyond the capacity', () => {
    expect(
      extentsOf(
        [
          [0, 2, 1],
          [3, 2, 0],
        ],
        0,
        5 * block,
      ),
    ).to.deep.equal([[2 * block, 3]]);
    expect(
      extentsOf(
        [
          [0, 1, 1],
          [1, 1, 0],
          [2, 1, 1],
        ],
        0,
        5 * block,
        true,
        2,
      ),
    ).to.deep.equal([
      [512, 3],
      [512, 0],
    ]);
  });

  it('believes nothing of an answer for another place, or of none', () => {
    expect(extentsOf([[7, 2, 1]], 0, 5 * block)).to.deep.equal([[5 * block, 0]]);
    expect(extentsOf([], 0, 5 * block)).to.deep.equal([[5 * block, 0]]);
    expect(extentsOf([[0, 0, 1]], 0, 5 * block)).to.deep.equal([[5 * block, 0]]);
  });

  it('any answer gives at least one extent, none empty, not more than was asked for', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(50),
        fc.integer({ min: 1, max: 50 }),
        (bytes, first, blocks) => {
          const extents = new ExtentBuffer(4);
          const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
          extents.fill(view, 0, bytes.length, first * block, (first + blocks) * block, block, true);
          let total = 0;
          for (let i = 0; i < extents.count; i++) {
            expect(extents.length[i]).to.be.greaterThan(0);
            total += extents.length[i];
          }
          expect(total).to.be.within(1, blocks * block);
        },
      ),
    );
  });
});
