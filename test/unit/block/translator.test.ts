import { expect } from 'chai';
import { BlockError, BlockFlag, BlockOperation } from '../../../src/block/request-table.ts';
import { TaskOutcome } from '../../../src/iscsi/task-table.ts';
import { OperationCode } from '../../../src/scsi/cdb.ts';
import { BlockFixture } from '../../helpers/block-fixture.ts';
import {
  checkCondition,
  type RamLogicalUnitOptions,
  type ScsiAnswer,
} from '../../helpers/ram-logical-unit.ts';

const { read, write, flush, trim, writeZeroes, blockStatus, cache } = BlockOperation;
const { forceUnitAccess } = BlockFlag;

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
