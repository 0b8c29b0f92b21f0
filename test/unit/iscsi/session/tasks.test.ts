import { expect } from 'chai';
import { iserCapabilities } from '../../../helpers/fake-transport.ts';
import type { SentPdu } from '../../../helpers/fake-transport.ts';
import { SessionFixture } from '../../../helpers/session-fixture.ts';

const read10 = 0x28;
const write10 = 0x2a;

describe('session tasks', () => {
  it('sends exactly one command before the target has opened its window', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.login();
    fixture.submit();
    fixture.submit();
    const [first, second] = target.takeCommands();
    expect(second).to.equal(undefined);
    expect(first.cmdSn).to.equal(1);
    target.answer(first);
    expect(target.takeOne().cmdSn).to.equal(2);
  });

  it('goes on when a PDU other than a response opens the window', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.begin();
    target.login();
    fixture.submit();
    fixture.submit();
    target.take();
    target.nopIn();
    expect(target.takeOne().cmdSn).to.equal(2);
  });

  it('carries CmdSN over the end of its range', async () => {
    const fixture = new SessionFixture({ firstCmdSn: 0xfffffff0 });
    const target = await fixture.begin();
    target.window = 4;
    target.login();
    for (let i = 0; i < 32; i++) fixture.submit();
    const seen: number[] = [];
    for (let batch = target.takeCommands(); batch.length > 0; batch = target.takeCommands()) {
      seen.push(...batch.map(({ cmdSn }) => cmdSn));
      for (const command of batch) target.answer(command);
    }
    expect(seen).to.deep.equal(Array.from({ length: 32 }, (_, i) => (0xfffffff0 + i) >>> 0));
    expect(fixture.done).to.have.length(32);
  });

  it('writes LUN, flags, lengths and CDB of a read', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(read10, { read: 4096 });
    const command = target.takeOne();
    expect(command.lun).to.equal(0x0003000000000000n);
    expect(command.flags).to.equal(0x80 | 0x40 | 1);
    expect(command.word20).to.equal(4096);
    expect(command.readLength).to.equal(4096);
    expect(command.word32 >>> 24).to.equal(read10);
    expect(command.immediate).to.equal(false);
  });

  it('sends neither R nor W nor a length with a command without data', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    const command = target.takeOne();
    expect(command.flags).to.equal(0x81);
    expect(command.word20).to.equal(0);
  });

  it('sends as much immediate data as the keys allow when a write may be split', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(write10, { write: 100_000 });
    fixture.submit(write10, { write: 512 });
    const [large, small] = target.take();
    expect(large.data).to.have.length(16384);
    expect(large.word20).to.equal(100_000);
    expect(small.data).to.have.length(512);
    expect(large.flags).to.equal(0x80 | 0x20 | 1);
  });

  it('sends a write all immediate or not at all where it may not be split', async () => {
    const fixture = new SessionFixture({ capabilities: iserCapabilities });
    const target = await fixture.up();
    fixture.submit(write10, { write: 8192 });
    fixture.submit(write10, { write: 8704 });
    const [fits, tooLong] = target.take();
    expect(fits.data).to.have.length(8192);
    expect(tooLong.data).to.have.length(0);
    expect(tooLong.writeLength).to.equal(8704);
  });

  it('sends no immediate data when the target does not want any', async () => {
    const fixture = new SessionFixture({ capabilities: iserCapabilities });
    const target = await fixture.begin();
    target.login({ replace: { ImmediateData: 'No' } });
    fixture.submit(write10, { write: 512 });
    expect(target.takeOne().data).to.have.length(0);
  });

  it('keeps to the queue depth', async () => {
    const fixture = new SessionFixture({ queueDepth: 3 });
    const target = await fixture.up();
    for (let i = 0; i < 5; i++) fixture.submit();
    const commands = target.take();
    expect(commands).to.have.length(3);
    target.answer(commands[1]);
    expect(target.take()).to.have.length(1);
  });

  it('leaves PDU slots for control requests', async () => {
    const fixture = new SessionFixture({ pduCapacity: 12 });
    const target = await fixture.up();
    for (let i = 0; i < 10; i++) fixture.submit();
    expect(target.take()).to.have.length(4);
  });

  it('waits for the transport when it has nothing to send with', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.starved = true;
    fixture.submit();
    expect(target.take()).to.have.length(0);
    target.transport.starved = false;
    target.transport.events.onWritable();
    expect(target.take()).to.have.length(1);
  });

  it('takes no CmdSN for a command that cannot be posted', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.starved = true;
    fixture.submit();
    target.transport.starved = false;
    fixture.submit();
    expect(target.take().map(({ cmdSn }) => cmdSn)).to.deep.equal([1, 2]);
  });

  it('never reports more read data than the target has sent or placed', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const { tasks } = fixture.session;
    const cases: { answer: (command: SentPdu) => void; expected: number }[] = [
      {
        answer: (command) => {
          target.answer(command);
        },
        expected: 512,
      },
      {
        answer: (command) => {
          target.answer(command, { flags: 2, residual: 416 });
        },
        expected: 96,
      },
      {
        answer: (command) => {
          target.answer(command, { flags: 2, residual: 9999 });
        },
        expected: 0,
      },
      {
        answer: (command) => {
          target.answer(command, { flags: 4, residual: 9999 });
        },
        expected: 512,
      },
      {
        answer: (command) => {
          target.answer(command, { placed: 100 });
        },
        expected: 100,
      },
      {
        answer: (command) => {
          target.answerWithData(command, 300);
        },
        expected: 300,
      },
    ];
    for (const { answer, expected } of cases) {
      const task = fixture.submit(read10, { read: 512 });
      answer(target.takeOne());
      expect(tasks.readPlaced[task]).to.equal(expected);
      tasks.free(task);
    }
  });

  it('gives the owner status and sense of an error', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const task = fixture.submit();
    target.checkCondition(target.takeOne(), 3, 0x11, 0x00);
    const { tasks } = fixture.session;
    expect(fixture.done).to.deep.equal([task]);
    expect(tasks.outcome[task]).to.equal(0);
    expect(tasks.scsiStatus[task]).to.equal(2);
    expect(tasks.senseLength[task]).to.equal(18);
    expect(tasks.sense[task * 252 + 2]).to.equal(3);
  });

  it('ends a task with "rejected" when the target reports a failure instead of a status', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    target.answer(target.takeOne(), { response: 1 });
    expect(fixture.outcomes).to.deep.equal([3]);
  });

  it('acknowledges statuses by ExpStatSN, and not an unsolicited NOP-In', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    const first = target.takeOne();
    expect(first.expStatSn).to.equal(101);
    target.answer(first);
    target.nopIn();
    fixture.submit();
    expect(target.takeOne().expStatSn).to.equal(102);
  });

  it('drops a connection whose target answers a command that does not exist', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.deliver(target.bhs(0x21, 0x80, 0xffffffff));
    expect(target.transport.disconnected?.end).to.equal('protocol-error');
  });

  it('drops a connection whose target answers a command with the response to something else', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    for (const opcode of [0x22, 0x24, 0x26, 0x20]) {
      const fresh = new SessionFixture();
      const other = await fresh.up();
      fresh.submit();
      other.transport.deliver(other.bhs(opcode, 0x80, other.takeOne().itt));
      expect(other.transport.disconnected?.end, `opcode ${opcode}`).to.equal('protocol-error');
    }
    expect(target.transport.disconnected).to.equal(undefined);
  });

  it('drops a connection whose target sends an opcode that only initiators or nobody may send', async () => {
    for (const opcode of [0x23, 0x31, 0x1f]) {
      const fixture = new SessionFixture();
      const target = await fixture.up();
      target.transport.deliver(target.bhs(opcode, 0x80, 0xffffffff));
      expect(target.transport.disconnected?.end).to.equal('protocol-error');
    }
  });

  it('tells a waiter once when a task slot has become free', async () => {
    const fixture = new SessionFixture({ taskCapacity: 2 });
    const target = await fixture.up();
    const { session } = fixture;
    const [task] = [fixture.submit(), fixture.submit()];
    expect(session.tasks.allocate(fixture)).to.equal(-1);
    let told = 0;
    const waiter = (): void => {
      told++;
    };
    session.addTaskWaiter(waiter);
    session.addTaskWaiter(waiter);
    const [first, second] = target.take();
    target.answer(first);
    expect(told).to.equal(0);
    session.tasks.free(task);
    target.answer(second);
    expect(told).to.equal(1);
    fixture.timers.advance(1000);
    expect(told).to.equal(1);
  });
});

describe('session retries', () => {
  it('repeats a command that met a unit attention of its own making, and tells nobody', async () => {
    const attentions: number[][] = [];
    const fixture = new SessionFixture({ onUnitAttention: (...code) => attentions.push(code) });
    const target = await fixture.up();
    const task = fixture.submit();
    target.checkCondition(target.takeOne(), 6, 0x29, 0x03);
    target.answer(target.takeOne());
    expect(fixture.done).to.deep.equal([task]);
    expect(attentions).to.deep.equal([]);
  });

  it('tells what another unit attention says, and repeats the command', async () => {
    const attentions: number[][] = [];
    const fixture = new SessionFixture({ onUnitAttention: (...code) => attentions.push(code) });
    const target = await fixture.up();
    fixture.submit();
    target.checkCondition(target.takeOne(), 6, 0x2a, 0x09);
    expect(attentions).to.deep.equal([[0x2a, 0x09]]);
    expect(target.take()).to.have.length(1);
    expect(fixture.done).to.deep.equal([]);
  });

  it('does not repeat in a tight loop for ever', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    let rounds = 0;
    for (let sent = target.take(); sent.length > 0 && rounds < 50; sent = target.take()) {
      rounds++;
      target.checkCondition(sent[0], 6, 0x29, 0x00);
    }
    expect(rounds).to.equal(9);
    fixture.timers.advance(1000);
    expect(target.take().filter(({ opcode }) => opcode === 1)).to.have.length(1);
  });

  it('pauses before it repeats a command that was answered with BUSY', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    target.answer(target.takeOne(), { status: 0x08 });
    expect(target.take()).to.have.length(0);
    fixture.timers.advance(500);
    target.answer(target.takeOne());
    expect(fixture.outcomes).to.deep.equal([0]);
  });

  it('waits while the logical unit is becoming ready', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    target.checkCondition(target.takeOne(), 2, 0x04, 0x01);
    fixture.timers.advance(500);
    expect(target.take()).to.have.length(1);
  });

  it('gives NOT READY of another kind to the owner', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    target.checkCondition(target.takeOne(), 2, 0x3a, 0x00);
    expect(fixture.outcomes).to.deep.equal([0]);
  });

  it('ends a command that is BUSY until its deadline with that answer', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const task = fixture.submit(0, { deadlineMs: fixture.timers.now() + 3000 });
    for (let step = 0; step < 20 && fixture.done.length === 0; step++) {
      for (const command of target.takeCommands()) target.answer(command, { status: 0x08 });
      fixture.timers.advance(500);
    }
    expect(fixture.outcomes).to.deep.equal([0]);
    expect(fixture.session.tasks.scsiStatus[task]).to.equal(0x08);
  });

  it('halves the depth once for a burst of TASK SET FULL, and raises it by one per round of answers', async () => {
    const fixture = new SessionFixture({ queueDepth: 16 });
    const target = await fixture.up();
    for (let i = 0; i < 20; i++) fixture.submit();
    const burst = target.take();
    expect(burst).to.have.length(16);
    for (const command of burst.slice(8)) target.answer(command, { status: 0x28 });
    expect(fixture.session.load.depth).to.equal(8);
    for (const command of burst.slice(0, 8)) target.answer(command);
    const next = target.takeCommands();
    expect(next.length).to.be.greaterThan(0);
    expect(fixture.session.load.depth).to.equal(9);
    expect(fixture.session.load.outstanding).to.be.at.most(9);
  });

  it('sends commands again in submit order after TASK SET FULL', async () => {
    const fixture = new SessionFixture({ queueDepth: 4 });
    const target = await fixture.up();
    for (let i = 0; i < 6; i++) fixture.submit(0x80 + i);
    const burst = target.take();
    target.answer(burst[3], { status: 0x28 });
    target.answer(burst[2], { status: 0x28 });
    target.answer(burst[0]);
    target.answer(burst[1]);
    const order: number[] = [];
    for (let batch = target.takeCommands(); batch.length > 0; batch = target.takeCommands()) {
      for (const command of batch) {
        order.push(command.word32 >>> 24);
        target.answer(command);
      }
    }
    expect(order).to.deep.equal([0x82, 0x83, 0x84, 0x85]);
  });

  it('repeats a lone command after TASK SET FULL only when time has passed', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    target.answer(target.takeOne(), { status: 0x28 });
    expect(target.take()).to.have.length(0);
    fixture.timers.advance(500);
    expect(target.take()).to.have.length(1);
  });

  it('repeats a command that another initiator has aborted', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    target.answer(target.takeOne(), { status: 0x40 });
    expect(target.take()).to.have.length(1);
  });
});
