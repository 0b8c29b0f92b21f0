import { expect } from 'chai';
import { BlockError, BlockFlag, BlockOperation } from '../../../src/block/request-table.ts';
import { TaskOutcome } from '../../../src/iscsi/task-table.ts';
import { OperationCode } from '../../../src/scsi/cdb.ts';
import { BlockFixture } from '../../helpers/block-fixture.ts';
import {
  checkCondition,
  statusOnly,
  type RamLogicalUnitOptions,
  type ScsiAnswer,
} from '../../helpers/ram-logical-unit.ts';

const { read, write, flush, trim, writeZeroes, blockStatus, cache } = BlockOperation;
const { forceUnitAccess, noHole, fastZero, requestOne } = BlockFlag;

const plain: RamLogicalUnitOptions = { blocks: 2048, blockLength: 512 };
const thin: RamLogicalUnitOptions = { ...plain, thin: true, lbprz: true };

function fillPattern(bytes: Uint8Array, offset: number, length: number, seed = 1): void {
  for (let i = 0; i < length; i++) bytes[offset + i] = (i * 7 + seed) & 0xff;
}

/** Answers commands with this operation code so, `times` times. */
function answering(operationCode: number, answer: ScsiAnswer, times = Infinity) {
  let left = times;
  return (cdb: Uint8Array) => (cdb[0] === operationCode && left-- > 0 ? answer : undefined);
}

describe('reads and writes', () => {
  it("a write and a read back move the right bytes, split by the unit's limit", async () => {
    const fixture = await BlockFixture.create({ ...plain, maximumTransferBlocks: 16 });
    fillPattern(fixture.arena.bytes, 0, 65536);
    expect(fixture.run(write, 512 * 3, 65536)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal(new Array(8).fill(OperationCode.write16));
    expect(fixture.run(read, 512 * 3, 65536, 0, 100_000)).to.equal(BlockError.none);
    expect(Buffer.from(fixture.arena.bytes.subarray(100_000, 165_536))).to.deep.equal(
      Buffer.from(fixture.arena.bytes.subarray(0, 65536)),
    );
    expect(fixture.session.tasks.inUse).to.equal(0);
    expect(fixture.device.inFlight).to.equal(0);
  });

  it('pieces end at the optimal granularity', async () => {
    const fixture = await BlockFixture.create(
      { ...plain, granularityBlocks: 8 },
      { maxTransferLength: 10_000 },
    );
    fixture.run(read, 512 * 3, 512 * 40);
    const pieces = fixture.unit.log.map((cdb) => [cdb[9], cdb[13]]);
    expect(pieces).to.deep.equal([
      [3, 13],
      [16, 16],
      [32, 11],
    ]);
  });

  it('no more than the window of one request is outstanding', async () => {
    const fixture = await BlockFixture.create(plain, { maxTransferLength: 4096, window: 3 });
    fixture.submit(read, 0, 65536);
    expect(fixture.session.pending).to.have.length(3);
    fixture.session.runOne();
    expect(fixture.session.pending).to.have.length(3);
    fixture.settle();
    expect(fixture.unit.log).to.have.length(16);
  });

  it('a unit that has only 10-byte commands gets these', async () => {
    const fixture = await BlockFixture.create({ ...plain, lacks: [0x109e, 0x88, 0x8a] });
    fillPattern(fixture.arena.bytes, 0, 1024);
    expect(fixture.run(write, 1024, 1024)).to.equal(BlockError.none);
    expect(fixture.run(read, 1024, 1024, 0, 4096)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([OperationCode.write10, OperationCode.read10]);
    expect(fixture.arena.bytes.subarray(4096, 5120)).to.deep.equal(
      fixture.arena.bytes.subarray(0, 1024),
    );
  });

  it("tasks carry the request's deadline and the timeouts of their kind", async () => {
    const fixture = await BlockFixture.create(plain, { replacementTimeoutMs: 5000 });
    const { tasks, pending } = fixture.session;
    fixture.submit(read, 0, 512);
    fixture.submit(flush, 0, 0);
    expect(pending.map((task) => tasks.deadlineMs[task])).to.deep.equal([6000, 6000]);
    expect(pending.map((task) => tasks.commandTimeoutMs[task])).to.deep.equal([30_000, 60_000]);
  });

  it('a negative replacement timeout waits for ever', async () => {
    const fixture = await BlockFixture.create(plain, { replacementTimeoutMs: -1 });
    fixture.submit(read, 0, 512);
    expect(fixture.session.tasks.deadlineMs[fixture.session.pending[0]]).to.equal(Infinity);
  });

  it('a read that is short of its data is an I/O error, never stale bytes', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.session.shortBy = 512;
    expect(fixture.run(read, 0, 4096)).to.equal(BlockError.ioError);
    expect(fixture.device.statistics.shortTransfers).to.equal(1);
  });

  it('a write with a residual is an I/O error', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.session.shortBy = 512;
    expect(fixture.run(write, 0, 4096)).to.equal(BlockError.ioError);
  });

  it('the first error stays, no more pieces are sent, and the end waits for all tasks', async () => {
    const fixture = await BlockFixture.create(plain, { maxTransferLength: 512, window: 3 });
    let count = 0;
    fixture.unit.fault = () =>
      [checkCondition(7, 0x2700), checkCondition(3, 0x0c00), undefined][count++];
    fixture.submit(write, 0, 512 * 8);
    fixture.session.runOne();
    fixture.session.runOne();
    expect(fixture.finished).to.have.length(0);
    fixture.session.runOne();
    expect(fixture.finished.map((done) => done.error)).to.deep.equal([BlockError.notPermitted]);
    expect(fixture.unit.log).to.have.length(3);
  });

  const outcomes: readonly (readonly [string, TaskOutcome, BlockError])[] = [
    ['a passed deadline', TaskOutcome.deadlineExceeded, BlockError.ioError],
    ['a closed session', TaskOutcome.sessionClosed, BlockError.shuttingDown],
    ['a changed identity', TaskOutcome.identityChanged, BlockError.ioError],
  ];
  for (const [name, outcome, expected] of outcomes) {
    it(`${name} ends the request with its error`, async () => {
      const fixture = await BlockFixture.create(plain);
      fixture.session.outcome = outcome;
      expect(fixture.run(write, 0, 512)).to.equal(expected);
    });
  }
});

describe('checks before any effect', () => {
  const refusals: readonly (readonly [string, number, number, number, BlockError])[] = [
    ['a read past the end', read, 2047 * 512, 1024, BlockError.invalid],
    ['a write past the end', write, 2047 * 512, 1024, BlockError.noSpace],
    ['zeroes past the end', writeZeroes, 2048 * 512, 512, BlockError.noSpace],
    ['a trim past the end', trim, 2047 * 512, 1024, BlockError.invalid],
    ['a status past the end', blockStatus, 2048 * 512, 512, BlockError.invalid],
    ['an unaligned read', read, 1, 512, BlockError.invalid],
    ['an unaligned write', write, 0, 513, BlockError.invalid],
    ['unaligned zeroes', writeZeroes, 256, 512, BlockError.invalid],
    ['an unknown operation', 99, 0, 512, BlockError.invalid],
  ];
  for (const [name, operation, offset, length, expected] of refusals) {
    it(`${name} is refused without a command, in a later turn`, async () => {
      const fixture = await BlockFixture.create(thin);
      fixture.submit(operation, offset, length);
      expect(fixture.finished).to.have.length(0);
      fixture.device.flush();
      expect(fixture.finished.map((done) => done.error)).to.deep.equal([expected]);
      expect(fixture.unit.log).to.have.length(0);
    });
  }

  it('a read-only device permits reads only', async () => {
    const fixture = await BlockFixture.create(thin, { readOnly: true });
    for (const operation of [write, trim, writeZeroes]) {
      expect(fixture.run(operation, 0, 512)).to.equal(BlockError.notPermitted);
    }
    expect(fixture.run(read, 0, 512)).to.equal(BlockError.none);
    expect(fixture.run(flush, 0, 0)).to.equal(BlockError.none);
  });

  it('requests of no length, and cache requests, succeed without a command', async () => {
    const fixture = await BlockFixture.create(thin);
    for (const operation of [read, write, trim, writeZeroes]) {
      expect(fixture.run(operation, 512, 0)).to.equal(BlockError.none);
    }
    expect(fixture.run(cache, 0, 4096)).to.equal(BlockError.none);
    expect(fixture.unit.log).to.have.length(0);
  });

  it('what ends within submit is told by a timer when no batch ends', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.submit(cache, 0, 512);
    fixture.timers.advance(1);
    expect(fixture.finished).to.have.length(1);
  });
});

describe('stable storage', () => {
  it('force unit access uses the FUA bit where there is one', async () => {
    const fixture = await BlockFixture.create({ ...plain, dpoFua: true });
    fillPattern(fixture.arena.bytes, 0, 512);
    expect(fixture.run(write, 0, 512, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.log.map((cdb) => [cdb[0], cdb[1]])).to.deep.equal([[0x8a, 0x08]]);
    expect(fixture.unit.stable.subarray(0, 512)).to.deep.equal(
      fixture.arena.bytes.subarray(0, 512),
    );
  });

  it('without the FUA bit one synchronize follows when all pieces are written', async () => {
    const fixture = await BlockFixture.create(plain, { maxTransferLength: 4096 });
    fillPattern(fixture.arena.bytes, 0, 16384);
    expect(fixture.run(write, 0, 16384, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([0x8a, 0x8a, 0x8a, 0x8a, 0x91]);
    expect(fixture.unit.stable).to.deep.equal(fixture.unit.content);
  });

  it('a failed write is not synchronized', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x8a, checkCondition(3, 0x0c00));
    expect(fixture.run(write, 0, 512, forceUnitAccess)).to.equal(BlockError.ioError);
    expect(fixture.unit.operations).to.deep.equal([0x8a]);
  });

  it('a unit that refuses its FUA bit after all gets write and synchronize', async () => {
    const fixture = await BlockFixture.create({ ...plain, dpoFua: true });
    fixture.unit.fault = (cdb) =>
      cdb[0] === 0x8a && cdb[1] !== 0 ? checkCondition(5, 0x2400) : undefined;
    expect(fixture.run(write, 0, 512, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([0x8a, 0x8a, 0x91]);
    expect(fixture.run(write, 0, 512, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.operations.slice(3)).to.deep.equal([0x8a, 0x91]);
  });

  it('a refused write without FUA is an I/O error', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x8a, checkCondition(5, 0x2400));
    expect(fixture.run(write, 0, 512)).to.equal(BlockError.ioError);
  });

  it('flush synchronizes the whole unit', async () => {
    const fixture = await BlockFixture.create(plain);
    expect(fixture.run(flush, 0, 0)).to.equal(BlockError.none);
    expect(Buffer.from(fixture.unit.log[0]).toString('hex')).to.equal('91' + '00'.repeat(15));
  });

  it('SYNCHRONIZE CACHE(10) is used when (16) is refused, and from then on', async () => {
    const fixture = await BlockFixture.create({ ...plain, lacks: [0x91, 0xa3] });
    expect(fixture.run(flush, 0, 0)).to.equal(BlockError.none);
    expect(fixture.run(flush, 0, 0)).to.equal(BlockError.none);
    expect(fixture.unit.operations).to.deep.equal([0x91, 0x35, 0x35]);
  });

  it('without any synchronize, flush succeeds only when nothing is volatile', async () => {
    const cases: readonly (readonly [boolean | undefined, BlockError])[] = [
      [false, BlockError.none],
      [true, BlockError.ioError],
      [undefined, BlockError.ioError],
    ];
    for (const [writeCache, expected] of cases) {
      const fixture = await BlockFixture.create({ ...plain, writeCache, lacks: [0x91, 0x35] });
      expect(fixture.run(flush, 0, 0)).to.equal(expected);
      expect(fixture.run(write, 0, 512, forceUnitAccess)).to.equal(expected);
    }
  });

  it('a flush that fails says so', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x91, checkCondition(3, 0x0c00));
    expect(fixture.run(flush, 0, 0)).to.equal(BlockError.ioError);
  });

  it('a deferred write error is not lost: the next flush fails, the one after does not', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x88, checkCondition(3, 0x0c00, true), 1);
    expect(fixture.run(read, 0, 512)).to.equal(BlockError.none);
    expect(fixture.device.statistics.deferredErrors).to.equal(1);
    expect(fixture.run(flush, 0, 0)).to.equal(BlockError.ioError);
    expect(fixture.run(flush, 0, 0)).to.equal(BlockError.none);
  });
});

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

describe('repetition', () => {
  it('what is transient is repeated: at the end of the batch, or after a pause', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x88, checkCondition(6, 0x2900), 1);
    fixture.submit(read, 0, 512);
    fixture.session.runAll();
    expect(fixture.session.pending).to.have.length(0);
    fixture.device.flush();
    expect(fixture.session.pending).to.have.length(1);
    fixture.unit.fault = answering(0x88, statusOnly(0x08), 1);
    fixture.session.runAll();
    fixture.device.flush();
    expect(fixture.session.pending).to.have.length(0);
    fixture.timers.advance(40);
    expect(fixture.session.pending).to.have.length(1);
    fixture.session.runAll();
    expect(fixture.finished.map((done) => done.error)).to.deep.equal([BlockError.none]);
    expect(fixture.device.statistics.retries).to.equal(2);
  });

  it('without a pause happens eight times at most', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x88, checkCondition(0xb, 0x4400));
    expect(fixture.run(read, 0, 512)).to.equal(BlockError.ioError);
    expect(fixture.unit.log).to.have.length(9);
  });

  it('with pauses goes on until the deadline, with pauses that grow to a second', async () => {
    const fixture = await BlockFixture.create(plain, { replacementTimeoutMs: 10_000 });
    fixture.unit.fault = answering(0x88, statusOnly(0x28));
    expect(fixture.run(read, 0, 512)).to.equal(BlockError.ioError);
    expect(fixture.timers.now()).to.be.within(10_000, 11_000);
    expect(fixture.unit.log).to.have.length.within(8, 20);
  });

  it('a longer pause does not put off a shorter one', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = (cdb) => (cdb[9] < 8 ? statusOnly(0x08) : undefined);
    fixture.submit(read, 0, 512);
    fixture.session.runAll();
    fixture.timers.advance(20);
    fixture.submit(read, 512, 512);
    // The first one waits 40 ms now, the second one 20 ms; the pause of 40 ms is set last.
    fixture.session.runOne(1);
    fixture.session.runOne(0);
    fixture.timers.advance(20);
    expect(fixture.session.pending).to.have.length(1);
  });

  it('one timer serves several pauses', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x88, statusOnly(0x08), 3);
    fixture.submit(read, 0, 512);
    fixture.submit(read, 512, 512);
    fixture.session.runAll();
    expect(fixture.timers.armed).to.equal(1);
    fixture.timers.advance(20);
    fixture.session.runOne();
    fixture.session.runOne();
    expect(fixture.timers.armed).to.equal(1);
    fixture.settle();
    expect(fixture.finished.map((done) => done.error)).to.deep.equal([0, 0]);
  });
});

describe('many requests', () => {
  it('wait in order when no task is free, and go on when tasks end', async () => {
    const fixture = await BlockFixture.create(plain, { taskCapacity: 2, window: 2 });
    const submitted = Array.from({ length: 6 }, (_, i) => fixture.submit(read, i * 512, 512));
    expect(fixture.session.pending).to.have.length(2);
    fixture.settle();
    expect(fixture.finished.map((done) => done.request)).to.deep.equal(submitted);
    expect(fixture.unit.log.map((cdb) => cdb[9])).to.deep.equal([0, 1, 2, 3, 4, 5]);
  });

  it('a long request does not starve others', async () => {
    const fixture = await BlockFixture.create(plain, {
      taskCapacity: 4,
      window: 4,
      maxTransferLength: 512,
    });
    fixture.submit(read, 0, 512 * 64);
    const short = fixture.submit(read, 512 * 100, 512);
    for (let i = 0; i < 6; i++) fixture.session.runOne();
    expect(fixture.finished.map((done) => done.request)).to.deep.equal([short]);
    fixture.settle();
    expect(fixture.finished).to.have.length(2);
  });

  it("go on when the session's own commands free a task slot", async () => {
    const fixture = await BlockFixture.create(plain, { taskCapacity: 1 });
    const { tasks } = fixture.session;
    const own = tasks.allocate({ onTaskDone: () => undefined });
    fixture.submit(read, 0, 512);
    expect(fixture.session.pending).to.have.length(0);
    tasks.free(own);
    fixture.session.callWaiters();
    expect(fixture.session.pending).to.have.length(1);
    fixture.settle();
    expect(fixture.finished).to.have.length(1);
  });

  it('an owner that submits from onRequestDone keeps going', async () => {
    const fixture = await BlockFixture.create(plain, { taskCapacity: 2 });
    let left = 50;
    fixture.onDone = () => {
      if (left-- > 0) fixture.submit(left % 3 === 0 ? cache : read, (left % 8) * 512, 512);
    };
    for (let i = 0; i < 4; i++) fixture.submit(read, i * 512, 512);
    fixture.settle();
    expect(fixture.finished).to.have.length(54);
    expect(fixture.device.inFlight).to.equal(0);
  });

  it('a request that fails while it waits for tasks ends once', async () => {
    const fixture = await BlockFixture.create(plain, {
      taskCapacity: 2,
      window: 4,
      maxTransferLength: 512,
    });
    fixture.unit.fault = (cdb) => (cdb[9] < 8 ? checkCondition(3, 0x1100) : undefined);
    fixture.submit(read, 0, 512 * 8);
    fixture.submit(read, 512 * 8, 512);
    fixture.settle();
    expect(fixture.finished.map((done) => done.error)).to.deep.equal([BlockError.ioError, 0]);
  });

  it('survive a session that ends tasks within submitTask', async () => {
    const fixture = await BlockFixture.create(
      { ...plain, maximumTransferBlocks: 8 },
      { taskCapacity: 2 },
    );
    fixture.session.synchronous = true;
    fillPattern(fixture.arena.bytes, 0, 65536);
    expect(fixture.run(write, 0, 65536, forceUnitAccess)).to.equal(BlockError.none);
    expect(fixture.unit.stable.subarray(0, 65536)).to.deep.equal(
      fixture.arena.bytes.subarray(0, 65536),
    );
    expect(fixture.run(read, 0, 65536, 0, 65536)).to.equal(BlockError.none);
    expect(fixture.session.tasks.inUse).to.equal(0);
  });
});

describe('the life of a device', () => {
  it('a changed profile changes the geometry for later requests', async () => {
    const fixture = await BlockFixture.create(plain);
    const { device } = fixture;
    device.replaceProfile({ ...device.profile, blocks: 8 });
    expect(device.geometry.sizeBytes).to.equal(4096);
    expect(fixture.run(write, 4096, 512)).to.equal(BlockError.noSpace);
    expect(() => {
      device.replaceProfile({ ...device.profile, logicalBlockLength: 4096 });
    }).to.throw('logical block length');
  });

  it('close gives its memory back, but not while something is in flight', async () => {
    const fixture = await BlockFixture.create(plain);
    const zeroesOnly = fixture.pool.live.size - 1;
    fixture.submit(read, 0, 512);
    expect(() => {
      fixture.device.close();
    }).to.throw('in flight');
    fixture.settle();
    fixture.device.close();
    expect(fixture.pool.live.size).to.equal(zeroesOnly);
    expect(fixture.timers.armed).to.equal(0);
  });
});
