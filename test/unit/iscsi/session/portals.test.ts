import { expect } from 'chai';
import type { ScriptedTarget } from '../../../helpers/scripted-target.ts';
import { SessionFixture, settle } from '../../../helpers/session-fixture.ts';

const portals = [1, 2, 3].map((port) => ({ host: `h${port}`, port }));
const state = { optimized: 0, nonOptimized: 1, standby: 2, unavailable: 3, offline: 14 };
const hour = 3_600_000;

/** What the three target port groups are, by index; group 1 is behind port 1. */
type Groups = readonly [number, number, number];

/** Answers the commands of one check, as a target whose groups these are. */
async function answerCheck(
  fixture: SessionFixture,
  target: ScriptedTarget,
  groups: Groups,
): Promise<void> {
  const own = fixture.transport.portal?.port ?? 0;
  const inquiry = new Uint8Array(36);
  inquiry[4] = 31;
  inquiry[5] = 0x30;
  const page = Uint8Array.of(0, 0x83, 0, 8, 1, 0x95, 0, 4, 0, 0, 0, own);
  const report = Uint8Array.of(
    ...[0, 0, 0, 24],
    ...groups.flatMap((access, index) => [access, 0, 0, index + 1, 0, 0, 0, 0]),
  );
  for (const data of [inquiry, page, report]) {
    const command = target.takeOne();
    fixture.arena.bytes.set(data, command.readOffset);
    target.answer(command, { placed: data.length });
    await settle();
  }
}

/** Accepts the login, opens the window and answers the check. */
async function login(
  fixture: SessionFixture,
  target: ScriptedTarget,
  groups: Groups = [0, 0, 0],
): Promise<void> {
  target.login();
  target.nopIn();
  await answerCheck(fixture, target, groups);
}

/** Answers the logout that leaves a portal, and sees the connection to the next one. */
async function leave(fixture: SessionFixture, target: ScriptedTarget): Promise<ScriptedTarget> {
  const logout = target.takeOne();
  expect(logout.opcode).to.equal(0x06);
  target.logoutResponse(logout, 2);
  return fixture.nextConnection();
}

const port = (fixture: SessionFixture): number | undefined => fixture.transport.portal?.port;

const lastDelay = (fixture: SessionFixture): number | undefined => {
  const planned = fixture.kinds('reconnecting').at(-1);
  return planned !== undefined && 'delayMs' in planned ? planned.delayMs : undefined;
};

describe('session portals', () => {
  it('are asked one after the other without a pause, and with one after each round', async () => {
    const fixture = new SessionFixture({ portals });
    let target = await fixture.begin();
    const asked: (number | undefined)[] = [];
    const delays: (number | undefined)[] = [];
    for (let attempt = 0; attempt < 9; attempt++) {
      asked.push(port(fixture));
      target.transport.close('connect-refused');
      delays.push(lastDelay(fixture));
      target = await fixture.nextConnection(lastDelay(fixture));
    }
    expect(asked).to.deep.equal([1, 2, 3, 1, 2, 3, 1, 2, 3]);
    expect(delays).to.deep.equal([0, 0, 0, 0, 0, 1000, 0, 0, 2000]);
  });

  it('that refuse the login for good do not end the start while there are others', async () => {
    const fixture = new SessionFixture({ portals });
    const target = await fixture.begin();
    target.login({ statusClass: 2, statusDetail: 3 });
    const next = await fixture.nextConnection();
    await login(fixture, next);
    expect(fixture.started).to.equal(true);
    expect(port(fixture)).to.equal(2);
  });

  it('that have served are asked first when the connection is reset', async () => {
    const fixture = new SessionFixture({ portals });
    const target = await fixture.begin();
    await login(fixture, target);
    for (let passed = 0; passed < 11; passed++) {
      fixture.timers.advance(1000);
      target.nopIn();
    }
    target.transport.close('connection-reset');
    await fixture.nextConnection();
    expect(port(fixture)).to.equal(1);
  });

  it('that have fallen silent are left at once', async () => {
    const fixture = new SessionFixture({ portals, timeouts: { nopIntervalMs: hour } });
    const target = await fixture.begin();
    await login(fixture, target);
    fixture.timers.advance(11_000);
    target.transport.close('nop-timeout');
    await fixture.nextConnection();
    expect(port(fixture)).to.equal(2);
  });

  it('that accept logins and drop them are not asked in a tight loop', async () => {
    const fixture = new SessionFixture({ portals: portals.slice(0, 2) });
    let target = await fixture.begin();
    const delays: (number | undefined)[] = [];
    for (let attempt = 0; attempt < 6; attempt++) {
      await login(fixture, target);
      target.transport.close('peer-closed');
      delays.push(lastDelay(fixture));
      target = await fixture.nextConnection(lastDelay(fixture));
    }
    expect(delays).to.deep.equal([0, 0, 0, 1000, 0, 2000]);
  });
});

describe('session paths', () => {
  for (const [name, access] of [
    ['standby', state.standby],
    ['unavailable', state.unavailable],
    ['offline', state.offline],
  ] as const) {
    it(`that are ${name} are left for one that is not`, async () => {
      const fixture = new SessionFixture({ portals });
      const target = await fixture.begin();
      const groups: Groups = [access, state.optimized, state.optimized];
      await login(fixture, target, groups);
      expect(fixture.started).to.equal(false);
      const next = await leave(fixture, target);
      expect(lastDelay(fixture)).to.equal(0);
      expect(port(fixture)).to.equal(2);
      await login(fixture, next, groups);
      expect(fixture.session.state).to.equal('up');
      expect(fixture.kinds('path')).to.deep.equal([
        { kind: 'path', portal: { address: 'address of h1', port: 1 }, state: name, taken: false },
        {
          kind: 'path',
          portal: { address: 'address of h2', port: 2 },
          state: 'active/optimized',
          taken: true,
        },
      ]);
    });
  }

  it('that are active/non-optimized are used only when nothing better can be reached', async () => {
    const fixture = new SessionFixture({ portals });
    const groups: Groups = [state.standby, state.nonOptimized, state.optimized];
    let target = await fixture.begin();
    await login(fixture, target, groups);
    target = await leave(fixture, target);
    await login(fixture, target, groups);
    target = await leave(fixture, target);
    expect(port(fixture)).to.equal(3);
    target.transport.close('connect-refused');
    target = await fixture.nextConnection();
    expect(port(fixture)).to.equal(2);
    await login(fixture, target, groups);
    expect(fixture.session.state).to.equal('up');
  });

  it('that are active/non-optimized are used at once when no group is optimized', async () => {
    const fixture = new SessionFixture({ portals });
    const target = await fixture.begin();
    await login(fixture, target, [state.nonOptimized, state.standby, state.nonOptimized]);
    expect(fixture.session.state).to.equal('up');
  });

  it('are all alike when the target port groups cannot be found out', async () => {
    const fixture = new SessionFixture({ portals });
    const target = await fixture.begin();
    target.login();
    target.nopIn();
    target.checkCondition(target.takeOne(), 5, 0x20, 0);
    await settle();
    expect(fixture.session.state).to.equal('up');
  });

  it('are not asked about when there is one portal', async () => {
    const fixture = new SessionFixture();
    const target = await fixture.up();
    expect(target.takeCommands()).to.have.length(0);
    expect(fixture.started).to.equal(true);
  });

  it('on which commands are refused are left, and the commands sent again elsewhere', async () => {
    const fixture = new SessionFixture({ portals });
    const target = await fixture.begin();
    await login(fixture, target);
    fixture.submit(0x2a);
    const command = target.takeOne();
    target.checkCondition(command, 2, 0x04, 0x0b);
    expect(fixture.done).to.deep.equal([]);
    const next = await leave(fixture, target);
    await login(fixture, next);
    fixture.timers.advance(1000);
    const again = next.takeCommands();
    expect(again.map(({ word32 }) => word32 >>> 24)).to.deep.equal([0x2a]);
    next.answer(again[0]);
    expect(fixture.done).to.have.length(1);
  });

  it('are asked about again on unit attention 2A/06, and left when there are better ones', async () => {
    const fixture = new SessionFixture({ portals });
    const target = await fixture.begin();
    await login(fixture, target);
    fixture.submit(0x28);
    target.checkCondition(target.takeOne(), 6, 0x2a, 0x06);
    await settle();
    // The command that met the unit attention is sent again, beside the check.
    const [again, inquiry] = target.takeCommands();
    target.answer(again);
    expect(inquiry.word32 >>> 24).to.equal(0x12);
    target.checkCondition(inquiry, 5, 0x20, 0);
    await settle();
    expect(fixture.session.state).to.equal('up');
    target.asyncMessage(0, [], [0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 0x06, 0, 0, 0, 0]);
    await settle();
    await answerCheck(fixture, target, [state.nonOptimized, state.optimized, state.standby]);
    await leave(fixture, target);
    expect(port(fixture)).to.equal(2);
  });
});
