/** A logical unit that changes, or is reset by somebody else, while the session is up. */
import { expect } from 'chai';
import { TaskOutcome } from '../../../../src/iscsi/task-table.ts';
import type { SentPdu } from '../../../helpers/fake-transport.ts';
import type { ScriptedTarget } from '../../../helpers/scripted-target.ts';
import { SessionFixture, settle } from '../../../helpers/session-fixture.ts';

const write10 = 0x2a;
const inquiry = Uint8Array.of(0x12, 0, 0, 0, 36, 0);
const operationCodes = (commands: readonly SentPdu[]): number[] =>
  commands.map(({ word32 }) => word32 >>> 24);

/** A session whose check is one INQUIRY; `verdicts` are used up, then it is the same unit. */
class CheckedFixture {
  runs = 0;
  readonly fixture: SessionFixture;

  constructor(...verdicts: boolean[]) {
    this.fixture = new SessionFixture({
      onIdentityCheck: async (session) => {
        this.runs++;
        await session.execute(inquiry, 36);
        return verdicts.shift() ?? true;
      },
    });
  }

  /** A write meets a unit attention. */
  async meet(asc: number, ascq: number): Promise<ScriptedTarget> {
    const target = await this.fixture.up();
    this.fixture.submit(write10);
    target.checkCondition(target.takeOne(), 6, asc, ascq);
    return target;
  }

  /** Answers the check's one command. */
  async answerCheck(target: ScriptedTarget): Promise<void> {
    const [command, ...others] = target.take();
    expect(operationCodes([command])).to.deep.equal([0x12]);
    expect(others).to.deep.equal([]);
    target.answer(command);
    await settle();
  }
}

describe('a logical unit that has changed', () => {
  for (const [asc, ascq] of [
    [0x28, 0x00],
    [0x2a, 0x01],
    [0x2a, 0x09],
    [0x3f, 0x03],
    [0x3f, 0x0e],
    [0x29, 0x00],
  ]) {
    const code = `${asc.toString(16)}/${ascq.toString(16).padStart(2, '0')}`;
    it(`is checked before the command that met ${code} is sent again`, async () => {
      const checked = new CheckedFixture();
      const target = await checked.meet(asc, ascq);
      expect(checked.fixture.session.state).to.equal('checking');
      await checked.answerCheck(target);
      expect(checked.fixture.session.state).to.equal('up');
      expect(operationCodes(target.take())).to.deep.equal([write10]);
    });
  }

  it('is checked before anything that is submitted meanwhile is sent', async () => {
    const checked = new CheckedFixture();
    const target = await checked.meet(0x3f, 0x0e);
    checked.fixture.submit(0x2b);
    await checked.answerCheck(target);
    expect(operationCodes(target.take())).to.deep.equal([write10, 0x2b]);
  });

  it('ends everything when it turns out to be another one', async () => {
    const checked = new CheckedFixture(false);
    const target = await checked.meet(0x3f, 0x03);
    await checked.answerCheck(target);
    const logout = target.takeOne();
    expect(logout.opcode).to.equal(0x06);
    target.logoutResponse(logout);
    checked.fixture.timers.advance(0);
    expect(checked.fixture.outcomes).to.deep.equal([TaskOutcome.identityChanged]);
    expect(checked.fixture.kinds('closed')).to.deep.equal([
      { kind: 'closed', end: 'identity-changed' },
    ]);
  });

  it('is checked when an asynchronous event says so', async () => {
    const checked = new CheckedFixture();
    const target = await checked.fixture.up();
    target.asyncMessage(0, [], [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 0x09, 0, 0, 0, 0]);
    expect(checked.fixture.session.state).to.equal('checking');
    await checked.answerCheck(target);
    expect(checked.fixture.session.state).to.equal('up');
  });

  it('is checked when somebody asks for it', async () => {
    const checked = new CheckedFixture();
    const target = await checked.fixture.up();
    checked.fixture.session.inspect();
    await checked.answerCheck(target);
    expect(checked.fixture.session.state).to.equal('up');
    expect(checked.runs).to.equal(1);
  });

  it('is checked again when it changes while it is being checked', async () => {
    const checked = new CheckedFixture();
    const target = await checked.meet(0x2a, 0x09);
    target.checkCondition(target.takeOne(), 6, 0x3f, 0x03);
    await checked.answerCheck(target);
    expect(checked.fixture.session.state).to.equal('checking');
    await checked.answerCheck(target);
    expect(checked.fixture.session.state).to.equal('up');
    expect(checked.runs).to.equal(2);
  });

  it('is not checked again for a reset that the check itself has met', async () => {
    const checked = new CheckedFixture();
    const target = await checked.meet(0x2a, 0x09);
    target.checkCondition(target.takeOne(), 6, 0x29, 0x00);
    await checked.answerCheck(target);
    expect(checked.fixture.session.state).to.equal('up');
    expect(checked.runs).to.equal(1);
  });

  it('that never stops changing costs a new login, not an endless check', async () => {
    const checked = new CheckedFixture();
    const target = await checked.meet(0x2a, 0x09);
    for (let i = 0; target.transport.disconnected === undefined && i < 20; i++) {
      target.checkCondition(target.takeOne(), 6, 0x2a, 0x09);
      await checked.answerCheck(target);
    }
    expect(target.transport.disconnected?.detail).to.contain('changes faster');
    expect(checked.runs).to.equal(5);
    expect(checked.fixture.outcomes).to.deep.equal([]);
  });

  it('is checked by the next login when the connection is lost meanwhile', async () => {
    const checked = new CheckedFixture();
    const target = await checked.meet(0x2a, 0x09);
    target.transport.close('peer-closed');
    const next = await checked.fixture.nextConnection();
    next.login();
    next.nopIn();
    await checked.answerCheck(next);
    expect(checked.fixture.session.state).to.equal('up');
    expect(operationCodes(next.take())).to.deep.equal([write10]);
  });

  it('in a way that concerns nobody is told of, and the command is repeated at once', async () => {
    const checked = new CheckedFixture();
    const target = await checked.meet(0x38, 0x07);
    expect(operationCodes(target.take())).to.deep.equal([write10]);
    expect(checked.runs).to.equal(0);
    expect(checked.fixture.kinds('unit-attention')).to.deep.equal([
      {
        kind: 'unit-attention',
        code: '38/07',
        response: 'report',
        reason: 'thin provisioning soft threshold reached: space runs out',
      },
    ]);
  });
});

describe('a logical unit that was reset by somebody else', () => {
  it('has its unanswered commands aborted and asked again', async () => {
    const checked = new CheckedFixture();
    const { fixture } = checked;
    const target = await fixture.up();
    for (const operationCode of [0x20, 0x21, 0x22, 0x23]) fixture.submit(operationCode);
    const [first, second, third, fourth] = target.take();
    target.answer(first);
    target.checkCondition(third, 6, 0x29, 0x03);
    expect(fixture.kinds('tasks-suspect')).to.have.length(1);
    await checked.answerCheck(target);
    expect(operationCodes(target.take())).to.deep.equal([0x22]);
    fixture.timers.advance(500);
    const abort = target.takeOne();
    expect([abort.opcode, abort.word20]).to.deep.equal([0x02, second.itt]);
    target.taskManagementResponse(abort, 0);
    expect(operationCodes(target.take())).to.deep.equal([0x21]);
    target.answer(fourth);
    fixture.timers.advance(500);
    expect(target.take()).to.deep.equal([]);
  });

  it('has a whole queue of them aborted one right after the other', async () => {
    const checked = new CheckedFixture();
    const { fixture } = checked;
    const target = await fixture.up();
    for (let i = 0; i < 16; i++) fixture.submit(write10);
    const sent = target.take();
    target.checkCondition(sent[15], 6, 0x29, 0x03);
    await checked.answerCheck(target);
    target.take();
    fixture.timers.advance(500);
    const began = fixture.timers.now();
    for (const suspect of sent.slice(0, 15)) {
      const abort = target.take().find(({ opcode }) => opcode === 0x02);
      expect(abort?.word20).to.equal(suspect.itt);
      if (abort !== undefined) target.taskManagementResponse(abort, 0);
    }
    expect(fixture.timers.now()).to.equal(began);
    expect(target.take().map(({ opcode }) => opcode)).to.deep.equal([0x01]);
  });

  it('has those ended that must not run twice', async () => {
    const checked = new CheckedFixture();
    const { fixture } = checked;
    const target = await fixture.up();
    const compareAndWrite = fixture.submit(0x89);
    fixture.submit(0x21);
    target.checkCondition(target.take()[1], 6, 0x29, 0x03);
    await checked.answerCheck(target);
    target.take();
    fixture.timers.advance(500);
    const abort = target.takeOne();
    expect(abort.opcode).to.equal(0x02);
    target.taskManagementResponse(abort, 0);
    expect(fixture.done).to.deep.equal([compareAndWrite]);
    expect(fixture.outcomes).to.deep.equal([TaskOutcome.deadlineExceeded]);
  });

  it('is nothing that anybody is told when nothing was lost', async () => {
    const checked = new CheckedFixture();
    await checked.meet(0x29, 0x00);
    expect(checked.fixture.kinds('tasks-suspect')).to.deep.equal([]);
    expect(checked.fixture.kinds('unit-attention')).to.deep.equal([]);
  });
});

describe('a session that is abandoned', () => {
  it('ends what it has, and what it gets, with identityChanged', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    fixture.submit(write10);
    target.take();
    fixture.session.abandon();
    target.logoutResponse(target.takeOne());
    fixture.timers.advance(0);
    fixture.submit(write10);
    fixture.timers.advance(0);
    expect(fixture.outcomes).to.deep.equal([
      TaskOutcome.identityChanged,
      TaskOutcome.identityChanged,
    ]);
    expect(fixture.session.state).to.equal('closed');
  });
});
