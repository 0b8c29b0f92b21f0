import { expect } from 'chai';
import { BlockError, BlockFlag, BlockOperation } from '../../../src/block/request-table.ts';
import { TaskOutcome } from '../../../src/iscsi/task-table.ts';
import { BlockFixture } from '../../helpers/block-fixture.ts';
import {
  checkCondition,
  statusOnly,
  type RamLogicalUnitOptions,
  type ScsiAnswer,
} from '../../helpers/ram-logical-unit.ts';

const { read, write, cache } = BlockOperation;
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

  it('a closed session ends everything that waits, without sending it', async () => {
    const fixture = await BlockFixture.create(thin, {
      taskCapacity: 2,
      window: 2,
      maxTransferLength: 512,
    });
    for (let i = 0; i < 4; i++) fixture.submit(read, 0, 4096);
    fixture.session.outcome = TaskOutcome.sessionClosed;
    fixture.session.runOne();
    fixture.session.runOne();
    expect(fixture.session.pending).to.have.length(0);
    expect(fixture.finished.map((done) => done.error)).to.deep.equal(
      new Array(4).fill(BlockError.shuttingDown),
    );
    expect(fixture.run(write, 0, 512)).to.equal(BlockError.shuttingDown);
    expect(fixture.unit.log).to.have.length(0);
    fixture.device.close();
  });

  it('close ends what waits for another attempt', async () => {
    const fixture = await BlockFixture.create(plain);
    fixture.unit.fault = answering(0x88, statusOnly(0x08));
    fixture.submit(read, 0, 512);
    fixture.submit(cache, 0, 512);
    fixture.session.runAll();
    fixture.device.close();
    expect(fixture.finished.map((done) => done.error)).to.deep.equal([BlockError.shuttingDown, 0]);
    expect(fixture.session.tasks.inUse).to.equal(0);
    expect(fixture.timers.armed).to.equal(0);
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
