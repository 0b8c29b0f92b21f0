import { expect } from 'chai';
import { TaskOutcome } from '../../../../src/iscsi/task-table.ts';
import {
  SessionFixture,
  loginTemplate,
  makeArena,
  settle,
} from '../../../helpers/session-fixture.ts';
import { Session } from '../../../../src/iscsi/session.ts';
import { FakeTimers } from '../../../helpers/fake-timers.ts';
import { SlabPool } from '../../../../src/memory/slab-pool.ts';

describe('session task management', () => {
  /** A session with one command outstanding for longer than its minute. */
  async function stuck(fixture = new SessionFixture()) {
    const target = await fixture.up();
    const task = fixture.submit(0x28, { read: 512 });
    const command = target.takeOne();
    for (let second = 0; second < 60; second++) {
      fixture.timers.advance(1000);
      target.nopIn();
    }
    return { fixture, target, task, command };
  }

  it('aborts a command that takes longer than its timeout', async () => {
    const { target, command } = await stuck();
    const abort = target.takeOne();
    expect(abort.opcode).to.equal(0x02);
    expect(abort.flags).to.equal(0x81);
    expect(abort.immediate).to.equal(true);
    expect(abort.word20).to.equal(command.itt);
    expect(abort.word32).to.equal(command.cmdSn);
    expect(abort.lun).to.equal(0x0003000000000000n);
  });

  it('sends an aborted command again when its deadline allows', async () => {
    const { fixture, target, command } = await stuck();
    target.taskManagementResponse(target.takeOne(), 0);
    expect(fixture.done).to.deep.equal([]);
    expect(target.transport.freed).to.include(command.slot);
    expect(target.takeOne().word32).to.equal(command.word32);
  });

  it('ends an aborted command whose deadline has passed, but not before the target has let go of it', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(0x28, { read: 512, deadlineMs: fixture.timers.now() + 1500 });
    target.take();
    fixture.timers.advance(2000);
    expect(fixture.outcomes).to.deep.equal([]);
    target.taskManagementResponse(target.takeOne(), 0);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.deadlineExceeded]);
  });

  it('takes the response that crosses the abort, whatever the abort says', async () => {
    const { fixture, target, command } = await stuck();
    const abort = target.takeOne();
    target.answer(command);
    target.taskManagementResponse(abort, 1);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.answered]);
    expect(target.take()).to.have.length(0);
    expect(fixture.session.state).to.equal('up');
  });

  it('resets the logical unit when the abort is refused or not answered, and repeats all commands', async () => {
    for (const answered of [true, false]) {
      const { fixture, target } = await stuck();
      const abort = target.takeOne();
      fixture.submit();
      const second = target.takeOne();
      if (answered) {
        target.taskManagementResponse(abort, 5);
      } else {
        for (let i = 0; i < 10; i++) {
          fixture.timers.advance(1000);
          target.nopIn();
        }
      }
      const reset = target.takeOne();
      expect(reset.opcode).to.equal(0x02);
      expect(reset.flags).to.equal(0x85);
      expect(reset.word20).to.equal(0xffffffff);
      fixture.submit();
      expect(target.take(), 'held back').to.have.length(0);
      target.taskManagementResponse(reset, 0);
      expect(target.take().map(({ opcode }) => opcode)).to.deep.equal([1, 1, 1]);
      expect(target.transport.freed).to.include(second.slot);
    }
  });

  it('drops the connection when nothing is answered, within bounds', async () => {
    const { fixture, target } = await stuck();
    for (let second = 0; second < 26; second++) {
      fixture.timers.advance(1000);
      target.nopIn();
    }
    expect(target.transport.disconnected?.end).to.equal('task-management-timeout');
    expect(fixture.session.statistics).to.include({ abortTasks: 1, logicalUnitResets: 1 });
    const next = await fixture.nextConnection();
    next.login();
    expect(next.takeCommands()).to.have.length(1);
  });

  it('drops the connection when the reset is refused', async () => {
    const { target } = await stuck();
    target.taskManagementResponse(target.takeOne(), 255);
    target.taskManagementResponse(target.takeOne(), 255);
    expect(target.transport.disconnected?.end).to.equal('task-management-timeout');
  });

  it('drops the connection when the target has forgotten a task that it never answered', async () => {
    const { target } = await stuck();
    target.taskManagementResponse(target.takeOne(), 1);
    expect(target.transport.disconnected?.detail).to.contain('does not know');
  });

  it('drops the connection, and resets nothing, when only the abort of an ended task is unanswered', async () => {
    const { fixture, target, command } = await stuck();
    target.take();
    target.answer(command);
    for (let second = 0; second < 10; second++) {
      fixture.timers.advance(1000);
      target.nopIn();
    }
    expect(target.take().filter(({ opcode }) => opcode === 2)).to.have.length(0);
    expect(target.transport.disconnected?.end).to.equal('task-management-timeout');
  });

  it('sends the abort later when there is no slot for it', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(0, { deadlineMs: fixture.timers.now() + 1000 });
    const command = target.takeOne();
    target.transport.starved = true;
    fixture.timers.advance(1500);
    target.transport.starved = false;
    fixture.timers.advance(500);
    expect(target.takeOne().word20).to.equal(command.itt);
  });

  it('forgets an abort that could not be sent when the task ends by itself', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(0, { deadlineMs: fixture.timers.now() + 1000 });
    const command = target.takeOne();
    target.transport.starved = true;
    fixture.timers.advance(1500);
    target.answer(command);
    target.transport.starved = false;
    fixture.timers.advance(1000);
    expect(target.take()).to.have.length(0);
  });

  it('takes a rejected abort for a refused one', async () => {
    const { target } = await stuck();
    const abort = target.takeOne();
    target.reject(abort.bhs, 0x05);
    expect(target.takeOne().flags).to.equal(0x85);
    expect(target.transport.freed).to.include(abort.slot);
  });
});

describe('session and what a target may say on its own', () => {
  it('ends the task that a Reject names', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    const named = fixture.submit();
    target.reject(target.take()[1].bhs, 0x09);
    expect(fixture.done).to.deep.equal([named]);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.rejected]);
    expect(fixture.kinds('reject')).to.deep.equal([{ kind: 'reject', reason: 9, opcode: 1 }]);
  });

  it('survives a Reject that names nothing', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.reject(new Uint8Array(48).fill(0xff), 0x04);
    expect(fixture.session.state).to.equal('up');
  });

  it('takes a rejected ping for an answered one', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.timers.advance(5500);
    target.reject(target.takeOne().bhs, 0x05);
    fixture.timers.advance(5500);
    expect(target.takeOne().opcode).to.equal(0x00);
  });

  it('starts over after a data digest error at the target', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    target.reject(target.takeOne().bhs, 0x02);
    expect(target.transport.disconnected?.end).to.equal('data-digest-error');
    expect(fixture.done).to.deep.equal([]);
  });

  it('drops the connection for a Reject without the header that it rejects', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.reject(new Uint8Array(20), 0x04);
    expect(target.transport.disconnected?.end).to.equal('protocol-error');
  });

  it('takes asynchronous event 0 for a unit attention', async () => {
    const attentions: number[][] = [];
    const fixture = new SessionFixture({ onUnitAttention: (...code) => attentions.push(code) });
    const target = await fixture.up();
    target.asyncMessage(0, [], [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x3f, 0x0e, 0, 0, 0, 0]);
    target.asyncMessage(0);
    expect(attentions).to.deep.equal([[0x3f, 0x0e]]);
  });

  for (const event of [1, 4]) {
    it(`logs out in time and in again on asynchronous event ${event}`, async () => {
      const fixture = new SessionFixture();
      const target = await fixture.up();
      fixture.submit();
      target.take();
      target.asyncMessage(event, [0, 0, 3]);
      expect(target.take()).to.have.length(0);
      fixture.timers.advance(1500);
      const logout = target.takeOne();
      expect(logout.opcode).to.equal(0x06);
      target.logoutResponse(logout);
      const next = await fixture.nextConnection();
      expect(target.transport.disconnected?.end).to.equal('target-requested-logout');
      next.login();
      expect(next.takeCommands()).to.have.length(1);
    });
  }

  for (const event of [2, 3]) {
    it(`waits Time2Wait before it comes back on asynchronous event ${event}`, async () => {
      const fixture = new SessionFixture();
      const target = await fixture.up();
      target.asyncMessage(event, [0, 7, 0]);
      fixture.timers.advance(6900);
      await settle();
      expect(fixture.transports).to.have.length(1);
      await fixture.nextConnection(100);
    });
  }

  it('ignores asynchronous events that it does not know', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.asyncMessage(255);
    expect(fixture.session.state).to.equal('up');
  });

  it('logs out even while it checks the identity when the target asks for it', async () => {
    const fixture = new SessionFixture({ onIdentityCheck: () => new Promise(() => undefined) });
    const target = await fixture.up();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    next.login();
    next.asyncMessage(1, [0, 0, 10]);
    expect(next.takeOne().opcode).to.equal(0x06);
  });
});

describe('session end', () => {
  it('logs out, disconnects, and ends every task with sessionClosed only then', async () => {
    const fixture = new SessionFixture({ queueDepth: 1 });
    const target = await fixture.up();
    fixture.submit();
    fixture.submit();
    target.take();
    const closed = fixture.session.close();
    const logout = target.takeOne();
    expect(logout.opcode).to.equal(0x06);
    expect(logout.flags).to.equal(0x80);
    expect(fixture.outcomes).to.deep.equal([]);
    target.logoutResponse(logout);
    fixture.timers.advance(0);
    await closed;
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.sessionClosed, TaskOutcome.sessionClosed]);
    expect(target.transport.disconnected?.end).to.equal('requested');
  });

  it('does not wait for ever for the answer to its logout', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const closed = fixture.session.close();
    fixture.timers.advance(5000);
    await closed;
    expect(target.transport.closed).to.equal(true);
  });

  it('sends its logout later when there is no slot for it', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.starved = true;
    void fixture.session.close();
    expect(target.take()).to.have.length(0);
    target.transport.starved = false;
    target.transport.events.onWritable();
    expect(target.takeOne().opcode).to.equal(0x06);
  });

  it('disconnects when its logout is rejected', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    void fixture.session.close();
    target.reject(target.takeOne().bhs, 0x05);
    expect(target.transport.disconnected?.end).to.equal('requested');
  });

  it('gives its memory back and leaves no timer behind', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const closed = fixture.session.close();
    target.logoutResponse(target.takeOne());
    fixture.timers.advance(0);
    await closed;
    expect(fixture.pool.statistics.usedBytes).to.equal(0);
    expect(fixture.timers.armed).to.equal(0);
  });

  it('closes at once while it waits for the next attempt, and a second time', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.close('peer-closed');
    fixture.submit();
    await fixture.session.close();
    await fixture.session.close();
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.sessionClosed]);
    expect(fixture.timers.armed).to.equal(0);
  });

  it('closes without having been started', async () => {
    const fixture = new SessionFixture();
    await fixture.session.close();
    expect(fixture.session.state).to.equal('closed');
  });

  it('ends a task submitted after the end, in a later turn', async () => {
    const fixture = new SessionFixture();
    await fixture.session.close();
    fixture.submit();
    expect(fixture.outcomes).to.deep.equal([]);
    fixture.timers.advance(0);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.sessionClosed]);
  });

  it('ignores answers that come while the connection is being closed', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit();
    const command = target.takeOne();
    fixture.session.reconnect('by the test');
    target.answer(command);
    expect(fixture.outcomes).to.deep.equal([]);
  });

  it('refuses to be made without memory for its buffers', () => {
    const pool = new SlabPool({ sizeBytes: 65536, segmentBytes: 65536 });
    pool.allocate(65536);
    const make = () =>
      new Session({
        createTransport: () => {
          throw new Error('not reached');
        },
        arena: makeArena(65536),
        pool,
        timers: new FakeTimers(),
        random: () => 0,
        portals: [{ host: 'a', port: 1 }],
        resolve: () => Promise.resolve([]),
        login: loginTemplate,
        isid: new Uint8Array(6),
        lun: 0,
      });
    expect(make).to.throw().with.property('code', 'NO_BUFFER');
  });
});

describe('session single commands', () => {
  it('gives data, status and sense as copies', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const result = fixture.session.execute(Uint8Array.of(0x12, 0, 0, 0, 36, 0), 36);
    const command = target.takeOne();
    fixture.arena.bytes.fill(0x5a, command.readOffset, command.readOffset + 36);
    target.answer(command, { flags: 2, residual: 6 });
    expect(await result).to.deep.equal({
      outcome: TaskOutcome.answered,
      scsiStatus: 0,
      sense: new Uint8Array(0),
      data: new Uint8Array(30).fill(0x5a),
    });
    const failed = fixture.session.execute(Uint8Array.of(0), 0);
    target.checkCondition(target.takeOne(), 5, 0x20, 0);
    expect((await failed).sense[12]).to.equal(0x20);
  });

  it('sends write data', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const result = fixture.session.execute(Uint8Array.of(0x55), 0, Uint8Array.of(1, 2, 3));
    const command = target.takeOne();
    expect([...command.data]).to.deep.equal([1, 2, 3]);
    target.answer(command);
    expect((await result).outcome).to.equal(TaskOutcome.answered);
  });

  it('works when every task slot of the users is taken, one after another', async () => {
    const fixture = new SessionFixture({ taskCapacity: 1, queueDepth: 8 });
    const target = await fixture.up();
    fixture.submit();
    const results = [1, 2, 3, 4, 5].map(() => fixture.session.execute(Uint8Array.of(0), 0));
    const first = target.take();
    expect(first).to.have.length(5);
    for (const command of first) target.answer(command);
    target.answer(target.takeOne());
    const done = await Promise.all(results);
    expect(done.map(({ outcome }) => outcome)).to.deep.equal([0, 0, 0, 0, 0]);
  });

  it('waits for memory when it needs a large buffer', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const held: number[] = [];
    for (let b = fixture.pool.allocate(65536); b !== -1; b = fixture.pool.allocate(65536))
      held.push(b);
    const result = fixture.session.execute(Uint8Array.of(0xa0), 60_000);
    const also = fixture.session.execute(Uint8Array.of(0xa0), 60_000);
    expect(target.take()).to.have.length(0);
    for (const buffer of held) fixture.pool.release(buffer);
    await settle();
    for (const command of target.take()) target.answer(command);
    expect((await result).data).to.have.length(60_000);
    expect((await also).data).to.have.length(60_000);
  });

  it('ends with sessionClosed when the session does, also later', async () => {
    const fixture = new SessionFixture();
    const results = [1, 2, 3].map(() => fixture.session.execute(Uint8Array.of(0), 0));
    await fixture.session.close();
    results.push(fixture.session.execute(Uint8Array.of(0), 0));
    const outcomes = (await Promise.all(results)).map(({ outcome }) => outcome);
    expect(outcomes).to.deep.equal(new Array(4).fill(TaskOutcome.sessionClosed));
  });

  it('survives a reconnect', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    const result = fixture.session.execute(Uint8Array.of(0), 0);
    target.take();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    next.login();
    next.answer(next.takeOne());
    expect((await result).outcome).to.equal(TaskOutcome.answered);
  });
});
