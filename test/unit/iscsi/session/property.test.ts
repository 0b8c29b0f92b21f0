import { expect } from 'chai';
import fc from 'fast-check';
import { TaskOutcome } from '../../../../src/iscsi/task-table.ts';
import type { SentPdu } from '../../../helpers/fake-transport.ts';
import { SessionFixture } from '../../../helpers/session-fixture.ts';
import type { ScriptedTarget } from '../../../helpers/scripted-target.ts';

const actions = ['submit', 'good', 'busy', 'full', 'attention', 'lose', 'pass', 'reject'] as const;
type Action = (typeof actions)[number];

class Life {
  readonly fixture: SessionFixture;
  target: ScriptedTarget;
  outstanding: SentPdu[] = [];
  submitted = 0;
  rejected = 0;

  constructor(fixture: SessionFixture, target: ScriptedTarget) {
    this.fixture = fixture;
    this.target = target;
  }

  /** Everything but commands is answered at once. */
  look(): void {
    for (const pdu of this.target.take()) {
      if (pdu.opcode === 0x01) this.outstanding.push(pdu);
      else if (pdu.opcode === 0x00) this.target.pong(pdu);
    }
  }

  async step(action: Action, choice: number): Promise<void> {
    if (action === 'submit') {
      if (this.fixture.session.tasks.inUse < this.fixture.session.tasks.capacity) {
        this.fixture.submit();
        this.submitted++;
      }
    } else if (action === 'pass') {
      this.fixture.timers.advance(500);
    } else if (action === 'lose') {
      this.target.transport.close('connection-reset');
      this.outstanding = [];
      this.target = await this.fixture.nextConnection(31_000);
      this.target.login();
      this.target.nopIn();
    } else if (this.outstanding.length > 0) {
      const [command] = this.outstanding.splice(choice % this.outstanding.length, 1);
      this.answer(action, command);
    }
    this.look();
  }

  answer(action: Action, command: SentPdu): void {
    if (action === 'busy') this.target.answer(command, { status: 0x08 });
    else if (action === 'full') this.target.answer(command, { status: 0x28 });
    else if (action === 'attention') this.target.checkCondition(command, 6, 0x29, 0);
    else if (action === 'reject') {
      this.rejected++;
      this.target.reject(command.bhs, 0x09);
    } else this.target.answer(command);
  }
}

describe('session under random faults', () => {
  it('ends every task exactly once, and in time takes up everything again', async () => {
    const step = fc.tuple(fc.constantFrom(...actions), fc.nat(31));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const fixture = new SessionFixture({
          queueDepth: 6,
          timeouts: { commandTimeoutMs: 1e9 },
        });
        const life = new Life(fixture, await fixture.up());
        for (const [action, choice] of steps) await life.step(action, choice);
        for (let round = 0; round < 400 && fixture.done.length < life.submitted; round++) {
          await life.step(round % 4 === 3 ? 'pass' : 'good', 0);
        }
        expect(new Set(fixture.done).size).to.equal(fixture.done.length);
        expect(fixture.done).to.have.length(life.submitted);
        const rejected = fixture.outcomes.filter((outcome) => outcome === TaskOutcome.rejected);
        expect(rejected).to.have.length(life.rejected);
        expect(fixture.session.load).to.include({ outstanding: 0, waiting: 0 });
      }),
      { numRuns: 60 },
    );
  });
});
