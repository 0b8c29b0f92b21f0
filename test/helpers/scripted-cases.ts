/**
 * A hostile target's deeds as a table: what it does to a session with a read, a write and a command without data outstanding,
 * and what must become of the connection. Another volume of the same lane works all the while.
 */
import { expect } from 'chai';
import type { SessionOptions } from '../../src/iscsi/session-options.ts';
import { TaskOutcome } from '../../src/iscsi/task-table.ts';
import type { ConnectionEnd } from '../../src/transport/transport.ts';
import { politeKeys } from './scripted-pdu.ts';
import { ScriptedLane, type ScriptedVolume, type TransportName } from './scripted-lane.ts';
import type { WireRequest, WireTarget } from './scripted-wire.ts';

export const readLength = 4096;
export const writeLength = 20_000;

/** What the script of a case has in its hands. */
export interface Scene {
  readonly lane: ScriptedLane;
  readonly volume: ScriptedVolume;
  readonly target: WireTarget;
  readonly read: WireRequest;
  readonly write: WireRequest;
  readonly none: WireRequest;
  /** The tasks of these, in this order. */
  readonly tasks: readonly [read: number, write: number, none: number];
}

export interface HostileCase {
  readonly name: string;
  /** Default: both. */
  readonly over?: TransportName;
  readonly options?: Partial<SessionOptions>;
  readonly keys?: (keys: readonly string[]) => readonly string[];
  readonly script: (scene: Scene) => void | Promise<void>;
  /** How the connection ends; 'lives': it does not. */
  readonly end: ConnectionEnd | 'lives';
  readonly detail?: RegExp;
  /** After all that, before the target becomes polite. */
  readonly then?: (scene: Scene) => void;
}

/** Runs a case; the test's name says what it was. */
export async function runCase(hostile: HostileCase, transport: TransportName): Promise<void> {
  const lane = new ScriptedLane();
  const good = lane.volume('tcp');
  const bad = lane.volume(transport, hostile.options);
  await good.up();
  good.polite = true;
  const target = await bad.begin();
  const usual = politeKeys(target.rdma);
  target.login(hostile.keys?.(usual) ?? usual);
  if (hostile.keys !== undefined && !target.rdma) {
    const keys = hostile.keys(usual);
    target.framing = {
      headerDigest: keys.includes('HeaderDigest=CRC32C'),
      dataDigest: keys.includes('DataDigest=CRC32C'),
    };
  }
  await lane.rest();
  target.openWindow();
  await lane.rest();
  const tasks = [
    bad.submit('read', readLength),
    bad.submit('write', writeLength),
    bad.submit('none'),
  ] as const;
  await lane.rest();
  target.take();
  const [read, write, none] = target.commands;
  const scene: Scene = { lane, volume: bad, target, read, write, none, tasks };
  await hostile.script(scene);
  await lane.rest();
  const [first] = bad.ends;
  if (hostile.end === 'lives') expect(first, 'end of the connection').to.equal(undefined);
  else {
    expect(first.end).to.equal(hostile.end);
    if (hostile.detail !== undefined) expect(first.detail).to.match(hostile.detail);
  }
  hostile.then?.(scene);
  await expectRecovery(lane, bad, good);
  await lane.close();
}

/** The other volume has noticed nothing, and the bad one works again as soon as its target is polite: no command is lost. */
async function expectRecovery(
  lane: ScriptedLane,
  bad: ScriptedVolume,
  good: ScriptedVolume,
): Promise<void> {
  const task = good.submit('read');
  await lane.rest();
  expect(good.outcomes.get(task)).to.equal(TaskOutcome.answered);
  expect(good.ends).to.deep.equal([]);
  bad.polite = true;
  const later = bad.submit('read');
  await lane.pass(90_000);
  expect(bad.running.size, 'commands that have not ended').to.equal(0);
  expect(bad.outcomes.get(later)).to.equal(TaskOutcome.answered);
}

/** A login that goes wrong: what the target answers to the first request. */
export interface HostileLogin {
  readonly name: string;
  readonly over?: TransportName;
  readonly options?: Partial<SessionOptions>;
  readonly script: (target: WireTarget, lane: ScriptedLane) => void | Promise<void>;
  readonly end: ConnectionEnd;
  readonly detail: RegExp;
}

export async function runLogin(hostile: HostileLogin, transport: TransportName): Promise<void> {
  const lane = new ScriptedLane();
  const good = lane.volume('tcp');
  const bad = lane.volume(transport, hostile.options);
  await good.up();
  good.polite = true;
  const target = await bad.begin();
  await hostile.script(target, lane);
  await lane.rest();
  expect(bad.ends.length).to.be.greaterThan(0);
  expect(bad.ends[0].end).to.equal(hostile.end);
  expect(bad.ends[0].detail).to.match(hostile.detail);
  expect(bad.session.state).not.to.equal('up');
  const task = good.submit('read');
  await lane.rest();
  expect(good.outcomes.get(task)).to.equal(TaskOutcome.answered);
  expect(good.ends).to.deep.equal([]);
  await lane.close();
}

/** Names and transports of all cases, for a test each. */
export function each<T extends { readonly name: string; readonly over?: TransportName }>(
  cases: readonly T[],
  run: (hostile: T, transport: TransportName) => Promise<void>,
): void {
  for (const hostile of cases) {
    for (const transport of ['tcp', 'iser'] as const) {
      if (hostile.over !== undefined && hostile.over !== transport) continue;
      it(`${transport}: ${hostile.name}`, () => run(hostile, transport));
    }
  }
}
