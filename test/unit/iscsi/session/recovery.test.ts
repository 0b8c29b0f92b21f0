import { expect } from 'chai';
import { TaskOutcome } from '../../../../src/iscsi/task-table.ts';
import { SessionFixture, settle } from '../../../helpers/session-fixture.ts';
import type { FixtureOptions } from '../../../helpers/session-fixture.ts';
import type { ScriptedTarget } from '../../../helpers/scripted-target.ts';

const operationCodes = (target: ScriptedTarget): number[] =>
  target.takeCommands().map(({ word32 }) => word32 >>> 24);

/** Logs a new connection in and opens its window. */
function relogin(target: ScriptedTarget): void {
  target.login();
  target.nopIn();
}

describe('session recovery', () => {
  it('sends what was outstanding again in submit order, before what was submitted later', async () => {
    const fixture = new SessionFixture({ queueDepth: 4 });
    const target = await fixture.up();
    for (let i = 0; i < 6; i++) fixture.submit(0x20 + i);
    const sent = target.take();
    target.answer(sent[1]);
    target.transport.close('peer-closed');
    fixture.submit(0x30);
    const next = await fixture.nextConnection();
    relogin(next);
    const order: number[] = [];
    for (let batch = next.takeCommands(); batch.length > 0; batch = next.takeCommands()) {
      for (const command of batch) {
        order.push(command.word32 >>> 24);
        next.answer(command);
      }
    }
    expect(order).to.deep.equal([0x20, 0x22, 0x23, 0x24, 0x25, 0x30]);
    expect(fixture.session.statistics.commandsRequeued).to.equal(4);
  });

  it('reinstates the session: the same ISID, TSIH 0, and CmdSN from its start', async () => {
    const fixture = new SessionFixture({ firstCmdSn: 500 });
    const target = await fixture.begin();
    const first = target.login();
    fixture.submit();
    target.take();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    const second = next.login();
    expect(second.bhs.subarray(8, 16)).to.deep.equal(first.bhs.subarray(8, 16));
    expect(second.cmdSn).to.equal(500);
    expect(next.takeOne().cmdSn).to.equal(500);
  });

  it('does not touch outstanding tasks before the transport has let go of their memory', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(0, { deadlineMs: fixture.timers.now() + 100 });
    target.take();
    target.transport.holdsClose = true;
    fixture.session.reconnect('by the test');
    fixture.timers.advance(5000);
    expect(fixture.done).to.deep.equal([]);
    target.transport.close('requested');
    fixture.timers.advance(500);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.deadlineExceeded]);
  });

  it('ends a waiting task at its deadline', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.close('peer-closed');
    fixture.submit(0, { deadlineMs: fixture.timers.now() + 2000 });
    const forever = fixture.submit();
    fixture.timers.advance(1500);
    expect(fixture.outcomes).to.deep.equal([]);
    fixture.timers.advance(1000);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.deadlineExceeded]);
    expect(fixture.done).not.to.include(forever);
  });

  it('does not repeat what must not run twice', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    for (const operationCode of [0x5f, 0x83, 0x89, 0x2a]) fixture.submit(operationCode);
    target.take();
    target.transport.close('peer-closed');
    expect(fixture.outcomes).to.deep.equal(new Array(3).fill(TaskOutcome.deadlineExceeded));
    const next = await fixture.nextConnection();
    relogin(next);
    expect(operationCodes(next)).to.deep.equal([0x2a]);
  });

  it('waits longer and longer between failing attempts, at most 30 s', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.close('peer-closed');
    const delays: number[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      await settle();
      const planned = fixture.kinds('reconnecting').at(-1);
      const delayMs = planned !== undefined && 'delayMs' in planned ? planned.delayMs : -1;
      delays.push(delayMs);
      const next = await fixture.nextConnection(delayMs);
      next.transport.close('connect-refused');
    }
    expect(delays).to.deep.equal([0, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  });

  it('goes from portal to portal, and back to the one that served', async () => {
    const fixture = new SessionFixture({
      portals: [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
    });
    const target = await fixture.begin();
    target.transport.close('unreachable');
    const second = await fixture.nextConnection();
    expect(second.transport.portal?.port).to.equal(2);
    relogin(second);
    for (let passed = 0; passed < 11; passed++) {
      fixture.timers.advance(1000);
      second.nopIn();
    }
    second.transport.close('peer-closed');
    const third = await fixture.nextConnection();
    expect(third.transport.portal?.port).to.equal(2);
  });

  it('ignores what a name resolves to when the session was closed meanwhile', async () => {
    let answer: (addresses: string[]) => void = () => undefined;
    const fixture = new SessionFixture({
      resolve: () =>
        new Promise((resolve) => {
          answer = resolve;
        }),
    });
    fixture.session.start().catch(() => undefined);
    await settle();
    await fixture.session.close();
    answer(['x']);
    await settle();
    expect(fixture.transports).to.have.length(0);
    expect(fixture.session.state).to.equal('closed');
  });
});

describe('a session with a replacement timeout of 0', () => {
  const timeouts = { replacementTimeoutMs: 0 };

  it('ends what was outstanding, what waits and what comes at once when the connection is lost', async () => {
    const fixture = new SessionFixture({ timeouts, queueDepth: 1 });
    const target = await fixture.up();
    fixture.submit(0x2a);
    fixture.submit(0x2a);
    expect(target.take()).to.have.length(1);
    target.transport.close('peer-closed');
    expect(fixture.outcomes).to.deep.equal(new Array(2).fill(TaskOutcome.deadlineExceeded));
    fixture.submit(0x28);
    expect(fixture.done, 'not from within the call').to.have.length(2);
    fixture.timers.advance(0);
    expect(fixture.outcomes[2]).to.equal(TaskOutcome.deadlineExceeded);
  });

  it('serves again when it is up again, and does not hurry a target that is there', async () => {
    const fixture = new SessionFixture({ timeouts });
    const target = await fixture.up();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    relogin(next);
    fixture.submit(0x2a);
    const command = next.takeOne();
    for (let second = 0; second < 20; second++) {
      fixture.timers.advance(1000);
      next.nopIn();
    }
    expect(next.take(), 'no abort').to.have.length(0);
    next.answer(command);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.answered]);
  });

  it('lets requests wait while it renews its connection by plan, unless that fails', async () => {
    for (const fails of [false, true]) {
      const fixture = new SessionFixture({ timeouts, maxReplyless: 1 });
      const target = await fixture.up();
      target.nopIn(1);
      target.take();
      fixture.timers.advance(500);
      const logout = target.takeOne();
      expect(logout.opcode).to.equal(0x06);
      fixture.submit(0x2a);
      target.logoutResponse(logout);
      const next = await fixture.nextConnection();
      expect(fixture.outcomes).to.deep.equal([]);
      if (fails) next.transport.close('connect-refused');
      else relogin(next);
      expect(fixture.outcomes).to.deep.equal(fails ? [TaskOutcome.deadlineExceeded] : []);
      expect(next.takeCommands()).to.have.length(fails ? 0 : 1);
    }
  });

  it('does not repeat a command that had to be aborted', async () => {
    const fixture = new SessionFixture({ timeouts: { ...timeouts, commandTimeoutMs: 2000 } });
    const target = await fixture.up();
    fixture.submit(0x2a);
    target.take();
    fixture.timers.advance(3000);
    target.taskManagementResponse(target.takeOne(), 0);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.deadlineExceeded]);
  });
});

describe('session keepalive', () => {
  it('pings after three idle seconds with a tag of its own, once', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.timers.advance(2500);
    expect(target.take()).to.have.length(0);
    fixture.timers.advance(1000);
    const ping = target.takeOne();
    expect(ping.opcode).to.equal(0x00);
    expect(ping.immediate).to.equal(true);
    expect(ping.itt).not.to.equal(0xffffffff);
    expect(ping.word20).to.equal(0xffffffff);
    fixture.timers.advance(3000);
    expect(target.take()).to.have.length(0);
  });

  it('does not ping while answers come', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    for (let second = 0; second < 20; second++) {
      fixture.timers.advance(1000);
      target.nopIn();
    }
    expect(target.take()).to.have.length(0);
  });

  it('takes a target for dead that is silent for five seconds after a ping', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.timers.advance(4000);
    expect(target.takeOne().opcode).to.equal(0x00);
    fixture.timers.advance(4000);
    expect(target.transport.disconnected).to.equal(undefined);
    fixture.timers.advance(1000);
    expect(target.transport.disconnected?.end).to.equal('nop-timeout');
  });

  for (const phaseMs of [0, 1, 250, 499]) {
    it(`notices a dead peer within ten seconds, whether or not it was idle (${phaseMs} ms after a sweep)`, async () => {
      for (const outstanding of [true, false]) {
        const fixture = new SessionFixture();
        const target = await fixture.up();
        fixture.timers.advance(phaseMs);
        if (outstanding) fixture.submit();
        target.nopIn();
        fixture.timers.advance(9000);
        expect(target.transport.disconnected?.end).to.equal('nop-timeout');
      }
    });
  }

  it('takes data for a sign of life that the session itself does not see', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(0x28, { read: 512 });
    target.take();
    for (let second = 0; second < 30; second++) {
      fixture.timers.advance(1000);
      target.transport.heard++;
    }
    expect(target.transport.disconnected).to.equal(undefined);
    expect(target.take()).to.have.length(0);
  });

  it('takes a target that answers anything for alive, and pings again after the answer', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.timers.advance(4000);
    const ping = target.takeOne();
    fixture.timers.advance(4000);
    target.nopIn();
    fixture.timers.advance(4000);
    expect(target.transport.disconnected).to.equal(undefined);
    target.pong(ping);
    fixture.timers.advance(4000);
    expect(target.takeOne().opcode).to.equal(0x00);
  });

  it('answers a ping of the target with its tag and LUN, without one of its own', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.nopIn(0x1234, 0x0005000000000000n);
    const answer = target.takeOne();
    expect(answer.opcode).to.equal(0x00);
    expect(answer.itt).to.equal(0xffffffff);
    expect(answer.word20).to.equal(0x1234);
    expect(answer.lun).to.equal(0x0005000000000000n);
    expect(target.transport.freed).to.include(answer.slot);
  });

  it('renews the connection when requests without answer have used up the credits of the target', async () => {
    const fixture = new SessionFixture({ maxReplyless: 3 });
    const target = await fixture.up();
    fixture.submit();
    const command = target.takeOne();
    for (let tag = 1; tag <= 3; tag++) target.nopIn(tag);
    target.take();
    fixture.timers.advance(500);
    expect(fixture.session.state).to.equal('quiescing');
    fixture.submit();
    expect(target.take()).to.have.length(0);
    target.answer(command);
    const logout = target.takeOne();
    expect(logout.opcode).to.equal(0x06);
    target.logoutResponse(logout);
    const next = await fixture.nextConnection();
    relogin(next);
    expect(next.takeCommands()).to.have.length(1);
  });

  it('survives a ping of the target for which there is no slot', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.starved = true;
    target.nopIn(7);
    expect(target.take()).to.have.length(0);
    expect(fixture.session.state).to.equal('up');
  });

  it('pings as soon as there is a slot again', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    target.transport.starved = true;
    fixture.timers.advance(5000);
    target.transport.starved = false;
    fixture.timers.advance(500);
    expect(target.take()).to.have.length(1);
  });
});

describe('session identity check', () => {
  const withCheck = (verdict: () => Promise<boolean>): FixtureOptions => ({
    onIdentityCheck: verdict,
  });

  it('does not run at the first login', async () => {
    let runs = 0;
    const fixture = new SessionFixture(withCheck(() => Promise.resolve(++runs > 0)));
    await fixture.up();
    expect(runs).to.equal(0);
  });

  it('sends the commands of the check before those that wait', async () => {
    const fixture = new SessionFixture({
      onIdentityCheck: async (session) => {
        const result = await session.execute(Uint8Array.of(0x12, 1, 0x83, 0, 64, 0), 64);
        return result.data.length === 64;
      },
    });
    const target = await fixture.up();
    fixture.submit(0x2a);
    target.take();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    relogin(next);
    expect(fixture.session.state).to.equal('checking');
    const inquiry = next.takeOne();
    expect(inquiry.word32 >>> 24).to.equal(0x12);
    next.answer(inquiry);
    await settle();
    expect(fixture.session.state).to.equal('up');
    expect(operationCodes(next)).to.deep.equal([0x2a]);
  });

  it('ends everything with identityChanged when it is another logical unit', async () => {
    const fixture = new SessionFixture(withCheck(() => Promise.resolve(false)));
    const target = await fixture.up();
    fixture.submit();
    target.take();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    next.login();
    await settle();
    const logout = next.takeOne();
    expect(logout.opcode).to.equal(0x06);
    next.logoutResponse(logout);
    fixture.timers.advance(0);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.identityChanged]);
    expect(fixture.kinds('closed')).to.deep.equal([{ kind: 'closed', end: 'identity-changed' }]);
    fixture.submit();
    fixture.timers.advance(0);
    expect(fixture.outcomes[1]).to.equal(TaskOutcome.identityChanged);
  });

  it('logs in again when the check could not find out', async () => {
    let runs = 0;
    const fixture = new SessionFixture(
      withCheck(() =>
        runs++ === 0 ? Promise.reject(new Error('no data')) : Promise.resolve(true),
      ),
    );
    const target = await fixture.up();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    next.login();
    await settle();
    expect(next.transport.disconnected?.detail).to.contain('no data');
    const last = await fixture.nextConnection(1000);
    last.login();
    await settle();
    expect(fixture.session.state).to.equal('up');
  });

  it('ends the commands of a check with their connection, and ignores its verdict', async () => {
    const outcomes: number[] = [];
    const fixture = new SessionFixture({
      onIdentityCheck: async (session) => {
        const results = await Promise.all([
          session.execute(Uint8Array.of(0x12), 36),
          session.execute(Uint8Array.of(0x12), 36),
        ]);
        outcomes.push(...results.map(({ outcome }) => outcome));
        return false;
      },
    });
    const target = await fixture.up();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    next.login();
    expect(next.take()).to.have.length(1);
    next.transport.close('peer-closed');
    const last = await fixture.nextConnection();
    expect(outcomes).to.deep.equal(new Array(2).fill(TaskOutcome.deadlineExceeded));
    last.login();
    expect(fixture.session.state).to.equal('checking');
  });

  it('lets a check that is BUSY try again, and end with its connection', async () => {
    const outcomes: number[] = [];
    const fixture = new SessionFixture({
      onIdentityCheck: async (session) => {
        outcomes.push((await session.execute(Uint8Array.of(0), 0)).outcome);
        return true;
      },
    });
    const target = await fixture.up();
    target.transport.close('peer-closed');
    const next = await fixture.nextConnection();
    next.login();
    next.answer(next.takeOne(), { status: 8 });
    fixture.timers.advance(500);
    next.answer(next.takeOne(), { status: 8 });
    next.transport.close('peer-closed');
    await settle();
    expect(outcomes).to.deep.equal([TaskOutcome.deadlineExceeded]);
  });
});
