import { expect } from 'chai';
import { BlockError, BlockFlag, BlockOperation } from '../../../src/block/request-table.ts';
import { BlockFixture } from '../../helpers/block-fixture.ts';
import {
  checkCondition,
  type RamLogicalUnitOptions,
  type ScsiAnswer,
} from '../../helpers/ram-logical-unit.ts';

const { read, trim, writeZeroes, blockStatus } = BlockOperation;
const { forceUnitAccess, noHole, fastZero, requestOne } = BlockFlag;

const plain: RamLogicalUnitOptions = { blocks: 2048, blockLength: 512 };
const thin: RamLogicalUnitOptions = { ...plain, thin: true, lbprz: true };

/** Answers commands with this operation code so, `times` times. */
function answering(operationCode: number, answer: ScsiAnswer, times = Infinity) {
  let left = times;
  return (cdb: Uint8Array) => (cdb[0] === operationCode && left-- > 0 ? answer : undefined);
}

describe('trim', () => {
  it('is rounded inwards to granules, split, and sent as UNMAP', async () => {
    const fixture = await BlockFixture.create({
      ...thin,
      maximumUnmapBlocks: 16,
      unmapGranularityBlocks: 8,
      unmapAlignmentBlocks: 3,
    });
    fixture.unit.mapped.fill(1);
    expect(fixture.run(trim, 512 * 4, 512 * 40)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([0x42, 0x42]);
    const holes = [...fixture.unit.mapped.entries()]
      .filter(([, mapped]) => mapped === 0)
      .map(([lba]) => lba);
    expect([holes[0], holes.at(-1), holes.length]).to.deep.equal([11, 42, 32]);
  });

  it('of less than a granule does nothing and succeeds', async () => {
    const fixture = await BlockFixture.create({ ...thin, unmapGranularityBlocks: 8 });
    expect(fixture.run(trim, 512, 512 * 7, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.log).to.have.length(0);
  });

  it('need not be aligned to blocks', async () => {
    const fixture = await BlockFixture.create(thin);
    fixture.unit.mapped.fill(1);
    expect(fixture.run(trim, 100, 1500)).to.equal(BlockError.none);
    expect(fixture.unit.mapped.subarray(0, 4)).to.deep.equal(Uint8Array.of(1, 0, 0, 1));
  });

  it('with force unit access is synchronized afterwards', async () => {
    const fixture = await BlockFixture.create(thin);
    expect(fixture.run(trim, 0, 4096, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([0x42, 0x91]);
  });

  it('on a unit that is not thin does nothing', async () => {
    const fixture = await BlockFixture.create(plain);
    expect(fixture.run(trim, 0, 4096)).to.equal(BlockError.none);
    expect(fixture.unit.log).to.have.length(0);
  });

  it('falls back to WRITE SAME with UNMAP, and then to nothing', async () => {
    const fixture = await BlockFixture.create({ ...thin, lacks: [0x42] });
    fixture.unit.mapped.fill(1);
    expect(fixture.run(trim, 0, 4096)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([0x42, 0x93]);
    expect(fixture.unit.mapped.subarray(0, 9)).to.deep.equal(
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 1),
    );
    fixture.unit.fault = answering(0x93, checkCondition(5, 0x2000));
    expect(fixture.run(trim, 0, 4096)).to.equal(BlockError.none);
    expect(fixture.run(trim, 0, 4096)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([0x42, 0x93, 0x93]);
  });

  it('waits for scratch memory, and does not hold up reads meanwhile', async () => {
    const fixture = await BlockFixture.create(thin, { taskCapacity: 64 });
    for (let i = 0; i < 20; i++) fixture.submit(trim, i * 512, 512);
    expect(fixture.session.pending).to.have.length(16);
    const late = fixture.submit(read, 0, 512);
    expect(fixture.session.pending).to.have.length(17);
    fixture.session.runOne(16);
    expect(fixture.finished.map((done) => done.request)).to.deep.equal([late]);
    fixture.settle();
    expect(fixture.finished).to.have.length(21);
    expect(fixture.unit.operations.filter((code) => code === 0x42)).to.have.length(20);
  });
});

describe('zeroes', () => {
  function prepared(fixture: BlockFixture): BlockFixture {
    fixture.unit.content.fill(0xaa);
    fixture.unit.mapped.fill(1);
    return fixture;
  }

  it('are made by WRITE SAME with UNMAP where unmapped blocks read as zeroes', async () => {
    const fixture = prepared(await BlockFixture.create({ ...thin, maximumWriteSameBlocks: 64 }));
    expect(fixture.run(writeZeroes, 512, 512 * 100)).to.equal(BlockError.none);
    expect(fixture.unit.log.map((cdb) => [cdb[0], cdb[1]])).to.deep.equal([
      [0x93, 8],
      [0x93, 8],
    ]);
    expect(fixture.unit.content.subarray(512, 512 * 101).every((byte) => byte === 0)).to.equal(
      true,
    );
    expect(fixture.unit.content[511]).to.equal(0xaa);
    expect(fixture.unit.content[512 * 101]).to.equal(0xaa);
  });

  it('keep their blocks when no hole is wanted, and when unmapped blocks read as anything', async () => {
    for (const [options, flags] of [
      [thin, noHole],
      [{ ...thin, lbprz: false }, 0],
    ] as const) {
      const fixture = prepared(await BlockFixture.create(options));
      expect(fixture.run(writeZeroes, 0, 4096, flags)).to.equal(BlockError.none);
      expect(fixture.unit.log.map((cdb) => cdb[1])).to.deep.equal([0]);
      expect(fixture.unit.mapped.every((mapped) => mapped === 1)).to.equal(true);
    }
  });

  it('send no data where NDOB is supported', async () => {
    const fixture = prepared(await BlockFixture.create({ ...plain, ndob: true }));
    expect(fixture.run(writeZeroes, 0, 4096, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.log.map((cdb) => [cdb[0], cdb[1]])).to.deep.equal([
      [0x93, 1],
      [0x91, 0],
    ]);
    expect(fixture.unit.stable.subarray(0, 4096).every((byte) => byte === 0)).to.equal(true);
  });

  it('give up one refused bit after another, then the command, and still become zeroes', async () => {
    const fixture = prepared(await BlockFixture.create({ ...thin, ndob: true }));
    fixture.unit.fault = answering(0x93, checkCondition(5, 0x2400));
    expect(fixture.run(writeZeroes, 0, 32768, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.log.map((cdb) => [cdb[0], cdb[1]])).to.deep.equal([
      [0x93, 9],
      [0x93, 8],
      [0x93, 0],
      [0x8a, 0],
      [0x8a, 0],
      [0x91, 0],
    ]);
    expect(fixture.unit.content.subarray(0, 32768).every((byte) => byte === 0)).to.equal(true);
    expect(fixture.device.statistics.replans).to.equal(3);
  });

  it('are written as data when WRITE SAME is unknown, with the FUA bit where there is one', async () => {
    const fixture = prepared(
      await BlockFixture.create({ ...plain, dpoFua: true, lacks: [0x93, 0xa3] }),
    );
    expect(fixture.run(writeZeroes, 0, 20480, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.log.map((cdb) => [cdb[0], cdb[1]])).to.deep.equal([
      [0x93, 0],
      [0x8a, 8],
      [0x8a, 8],
    ]);
    expect(fixture.unit.content.subarray(0, 20480).every((byte) => byte === 0)).to.equal(true);
  });

  it('wanted fast are refused at once when they would have to be written', async () => {
    const fixture = prepared(await BlockFixture.create({ ...plain, lacks: [0x93] }));
    expect(fixture.run(writeZeroes, 0, 4096, fastZero)).to.equal(BlockError.notSupported);
    expect(fixture.unit.log).to.have.length(0);
    const unknown = prepared(await BlockFixture.create({ ...plain, lacks: [0x93, 0xa3] }));
    expect(unknown.run(writeZeroes, 0, 4096, fastZero)).to.equal(BlockError.notSupported);
    expect(unknown.unit.operations).to.deep.equal([0x93]);
  });

  it('never end as not supported when they need not be fast', async () => {
    const fixture = prepared(await BlockFixture.create({ ...plain, lacks: [0x93] }));
    expect(fixture.run(writeZeroes, 0, 4096)).to.equal(BlockError.none);
  });
});

describe('block status', () => {
  it("gives the unit's extents", async () => {
    const fixture = await BlockFixture.create(thin);
    fixture.unit.mapped.fill(1, 4, 8);
    expect(fixture.run(blockStatus, 512, 512 * 20)).to.equal(BlockError.none);
    expect(fixture.lastExtents).to.deep.equal([
      [512 * 3, 3],
      [512 * 4, 0],
      [512 * 13, 3],
    ]);
    expect(fixture.run(blockStatus, 512, 512 * 20, requestOne)).to.equal(BlockError.none);
    expect(fixture.lastExtents).to.deep.equal([[512 * 3, 3]]);
  });

  it('is one allocated extent on a unit that is not thin', async () => {
    const fixture = await BlockFixture.create(plain);
    expect(fixture.run(blockStatus, 512, 4096)).to.equal(BlockError.none);
    expect(fixture.lastExtents).to.deep.equal([[4096, 0]]);
    expect(fixture.unit.log).to.have.length(0);
  });

  it('is one allocated extent when the command is refused, from then on without asking', async () => {
    const fixture = await BlockFixture.create({ ...thin, lacks: [0x129e, 0xa3] });
    for (let i = 0; i < 2; i++) {
      expect(fixture.run(blockStatus, 0, 4096)).to.equal(BlockError.none);
      expect(fixture.lastExtents).to.deep.equal([[4096, 0]]);
    }
    expect(fixture.unit.log).to.have.length(1);
  });

  it('of several requests at once gives each its own extents', async () => {
    const fixture = await BlockFixture.create(thin);
    fixture.unit.mapped.fill(1, 8, 16);
    const hole = fixture.submit(blockStatus, 0, 4096);
    const full = fixture.submit(blockStatus, 4096, 4096);
    fixture.settle((count) => count - 1);
    const byRequest = new Map(fixture.finished.map((done) => [done.request, done.extents]));
    expect(byRequest.get(hole)).to.deep.equal([[4096, 3]]);
    expect(byRequest.get(full)).to.deep.equal([[4096, 0]]);
  });

  it('can fail', async () => {
    const fixture = await BlockFixture.create(thin);
    fixture.unit.fault = answering(0x9e, checkCondition(4, 0x4400));
    expect(fixture.run(blockStatus, 0, 4096)).to.equal(BlockError.ioError);
  });
});
