/**
 * A target that lies, over real verbs: a Python program (guest/hostile-iser-target) instead of the fake reactor's scripted one.
 * Whatever it does, the daemon lives, ends the connection for the right reason and takes nothing forged for data, and a volume at
 * another target, on the same lane and the same RDMA device, does not notice.
 */
import { expect } from 'chai';
import { DaemonFixture } from '../../helpers/daemon-fixture.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { expectContent } from '../guest/expect-content.ts';
import { HostileClient, ioError, untouched } from '../guest/hostile-client.ts';
import {
  conduct,
  exactAccess,
  lasting,
  type Lie,
  messages,
  remoteAccess,
} from '../guest/hostile-lies.ts';
import { HostileScene, type Registration } from '../guest/hostile-scene.ts';

/** What the daemon needs beside its own time limits, on an emulated machine. */
const slackMs = 8000;
const impatienceMs = 5000;
/** For those who must be given up within it. */
const impatient = { replacement_timeout: impatienceMs / 1000, nop_interval: 1, nop_timeout: 2 };
/** For those whose connection is lost once. */
const patient = { replacement_timeout: 60, nop_interval: 5, command_timeout: 3, login_timeout: 3 };

/** A volume at a hostile target, and its client. */
interface Stage {
  readonly scene: HostileScene;
  readonly index: number;
  readonly volume: string;
  readonly client: HostileClient;
}

/** The connection is lost if it must be, the command is asked again, and everything is as if nothing had been. */
async function toldOnce(stage: Stage, lie: Lie): Promise<void> {
  const { scene, index, volume, client } = stage;
  const { about = 'read' } = lie;
  const { answer, others } = await client.provoke(about);
  expect([answer, ...others].map(({ error }) => error)).to.deep.equal(Array(9).fill(0));
  if (about === 'read') expectContent(answer.data, untouched, 'the block');
  await expectEnds(stage, lie);
  await scene.isUp(volume);
  await client.expectWritten();
  if (about === 'read' || lie.isLost === true) await client.expectUntouched();
  else await client.expectProvokingWrite();
  expect(scene.target(index).timesTold, 'lies').to.equal(1);
}

/** The command ends with an error when its time is over, and a target that lies no more is served again. */
async function toldAlways(stage: Stage, lie: Lie): Promise<void> {
  const { scene, index, volume, client } = stage;
  const { answer, milliseconds } = await client.provoke(lie.about ?? 'read');
  expect(answer.error).to.equal(ioError);
  expect(milliseconds).to.be.within(impatienceMs - 1000, impatienceMs + slackMs);
  await expectEnds(stage, lie);
  scene.target(index).turnPolite();
  await scene.isUp(volume);
  await client.expectUntouched();
}

/** Commands that come later end with an error. The connection lives, and a target that lies no more is served by it. */
async function feltLater(stage: Stage, lie: Lie): Promise<void> {
  const { scene, index, client } = stage;
  await client.provoke('read');
  expect(await client.expectRefusals()).to.be.within(impatienceMs - 1000, impatienceMs + slackMs);
  scene.target(index).turnPolite();
  await client.expectWritten();
  await expectEnds(stage, lie);
}

async function expectEnds({ scene, index, volume }: Stage, { ends, detail, loss }: Lie) {
  const target = scene.target(index);
  // An answer that was right may have come before the lie.
  await waitUntil('the connection has ended', () => scene.ends(volume).length >= ends.length);
  const seen = scene.ends(volume);
  const first = ends.length === 0 ? seen : seen.slice(0, ends.length);
  expect(first.map(({ end }) => end)).to.deep.equal(ends);
  if (detail !== undefined) expect(seen[0].detail).to.match(detail);
  if (loss === undefined) return;
  await waitUntil('the target has noticed', () => target.losses.length > 0);
  expect(target.losses[0]).to.match(loss);
}

async function expectSharedLane(scene: HostileScene, volume: string): Promise<void> {
  const lanes = async (name: string): Promise<number[]> =>
    (await scene.volume(name)).sessions.map(({ lane }) => lane);
  expect(await lanes('good')).to.include.members(await lanes(volume));
}

/** While `action` runs the good volume serves, without a new login. */
async function besideGoodVolume(scene: HostileScene, name: string, action: () => Promise<void>) {
  const load = await scene.steadyLoad(name);
  try {
    await action();
  } finally {
    await load.stop();
  }
  expect(load.rounds).to.be.greaterThan(0);
  expect(load.longestMs, 'milliseconds').to.be.lessThan(slackMs);
  for (const session of (await scene.volume('good')).sessions)
    expect(session).to.include({ state: 'up', errors: 0, reconnects: 0 });
}

/** One daemon for all of them: it outlives every one. */
function tell(registration: Registration, told: 'once' | 'always', lies: readonly Lie[]): void {
  const fixture = DaemonFixture.perSuite();
  let scene: HostileScene;
  let verbsObjects: Record<string, number>;

  before('start the hostile targets and the daemon', async function () {
    this.timeout(240_000);
    const timeouts = told === 'once' ? patient : impatient;
    const volumes = lies.map(({ lie, timeouts: own }) => ({
      lie,
      told,
      timeouts: { ...timeouts, ...own },
    }));
    scene = await HostileScene.begin(fixture, registration, volumes);
    verbsObjects = await scene.verbsObjects();
  });
  afterEach('show at once what failed', function () {
    if (this.currentTest?.state !== 'failed') return;
    console.log(this.currentTest.err?.message.replaceAll(/^/gm, '    ! '));
    console.log(scene.log.replaceAll(/^/gm, '    | '));
    console.log(scene.targetOutput.replaceAll(/^/gm, '    t '));
  });

  lies.forEach((lie, index) => {
    it(lie.what, () =>
      besideGoodVolume(scene, lie.lie, async () => {
        const volume = `bad-${index}`;
        await expectSharedLane(scene, volume);
        const client = await HostileClient.connect(scene.socket(volume));
        const play = lie.isFeltLater === true ? feltLater : told === 'once' ? toldOnce : toldAlways;
        await play({ scene, index, volume, client }, lie);
        await client.disconnect();
      }),
    );
  });
  it('the daemon that has met them all has as many verbs objects as before, and ends as told', async () => {
    expect(verbsObjects).to.have.property('qp').that.is.greaterThan(lies.length);
    expect(await scene.verbsObjects()).to.deep.equal(verbsObjects);
    expect(await scene.end()).to.equal(0);
  });
}

describe('a hostile target over verbs', () => {
  describe('that lies once: the command is asked again', () => {
    tell('cache', 'once', [...messages, ...remoteAccess, ...conduct]);
  });
  describe('that lies once, memory registered per command: the command is asked again', () => {
    tell('per-io', 'once', exactAccess);
  });
  describe('that lies always: the command ends with an error', () => {
    tell('cache', 'always', lasting);
  });
});
