/**
 * A hostile NBD client's deeds as a table: what it sends, what it is answered, and how it ends. Another client of another device works
 * on the same lane all the while.
 */
import { expect } from 'chai';
import { NbdCounter } from '../../src/nbd/counters.ts';
import type { NbdEnd } from '../../src/nbd/end.ts';
import { ruleEnds } from '../../src/nbd/end.ts';
import type { NbdLimits } from '../../src/nbd/limits.ts';
import {
  clientFlagsBoth,
  concat,
  infoData,
  option,
  parseOptionReplies,
  parseReplies,
  read,
  u32,
} from './nbd-client.ts';
import { NbdFixture, type NbdFixtureOptions, type NbdPeer } from './nbd-fixture.ts';

export interface NbdScene {
  readonly fixture: NbdFixture;
  readonly client: NbdPeer;
}

export interface HostileNbdCase {
  readonly name: string;
  /** Where the client is when it begins; default: it has sent nothing. */
  readonly from?: 'start' | 'structured' | 'simple';
  readonly limits?: Partial<NbdLimits>;
  readonly fixture?: NbdFixtureOptions;
  /** Bytes, or steps. */
  readonly script: Uint8Array | ((scene: NbdScene) => void);
  /** Options: the type of the last reply. Requests: the error of each reply, in order. */
  readonly answers?: readonly number[];
  /** 'lives': it is served on. */
  readonly end: NbdEnd | 'lives';
  readonly detail?: RegExp;
  readonly then?: (scene: NbdScene) => void;
}

const go = concat(u32(clientFlagsBoth), option(7, infoData('disk')));

function open(fixture: NbdFixture, from: HostileNbdCase['from']): NbdPeer {
  if (from === 'structured') return fixture.structured();
  const client = fixture.negotiate();
  fixture.reactor.run();
  client.peer.take();
  if (from === 'simple') client.exchange(go);
  return client;
}

/** Runs a case; the test's name says what it was. */
export function runNbdCase(hostile: HostileNbdCase): void {
  const fixture = new NbdFixture({ ...hostile.fixture, limits: hostile.limits ?? {} });
  const good = fixture.structured();
  const client = open(fixture, hostile.from);
  const scene: NbdScene = { fixture, client };
  if (hostile.script instanceof Uint8Array) client.send(hostile.script);
  else hostile.script(scene);
  fixture.reactor.run();
  expect(client.ended ?? 'lives', client.detail).to.equal(hostile.end);
  if (hostile.detail !== undefined) expect(client.detail).to.match(hostile.detail);
  if (hostile.answers !== undefined)
    expect(answersOf(client, hostile.from)).to.deep.equal(hostile.answers);
  const dropped = client.connection.counters[NbdCounter.dropped];
  const byRule = (ruleEnds as ReadonlySet<string>).has(hostile.end);
  expect(dropped, 'counted as dropped').to.equal(byRule ? 1 : 0);
  hostile.then?.(scene);
  expectServed(fixture, good);
  if (hostile.end === 'lives') expectLife(scene, hostile.from);
  client.peer.close();
  good.peer.close();
  fixture.device.automatic = true;
  fixture.device.finish();
  fixture.reactor.run();
  fixture.timers.advance(10 * 60_000);
  fixture.reactor.run();
  expect(client.ends).to.equal(1);
  fixture.expectNothingLeft();
}

function answersOf(client: NbdPeer, from: HostileNbdCase['from']): number[] {
  const bytes = client.peer.take();
  if (from === 'structured' || from === 'simple') {
    return parseReplies(bytes).map(({ error }) => error);
  }
  return parseOptionReplies(bytes)
    .slice(-1)
    .map(({ type }) => type);
}

/** The neighbour is answered. */
function expectServed(fixture: NbdFixture, good: NbdPeer): void {
  const automatic = fixture.device.automatic;
  fixture.device.automatic = true;
  good.peer.take();
  const replies = parseReplies(good.exchange(read(77n, 0, 4096)));
  expect(replies.map(({ cookie, error, data }) => [cookie, error, data.length])).to.deep.equal([
    [77n, 0, 4096],
  ]);
  fixture.device.automatic = automatic;
}

/** Who lives can be served: an honest handshake or an honest request goes through. */
function expectLife({ client }: NbdScene, from: HostileNbdCase['from']): void {
  client.peer.take();
  if (from === 'structured') {
    const replies = parseReplies(client.exchange(read(78n, 0, 512)));
    expect(replies.map(({ error, data }) => [error, data.length])).to.deep.equal([[0, 512]]);
  } else if (from === 'simple') {
    const replies = parseReplies(client.exchange(read(78n, 0, 512)), () => 512);
    expect(replies.map(({ error }) => error)).to.deep.equal([0]);
  } else {
    client.exchange(option(7, infoData('disk')));
    expect(client.connection.phase).to.equal('transmitting');
  }
}

/** A test for each. */
export function eachNbdCase(cases: readonly HostileNbdCase[]): void {
  for (const hostile of cases) {
    it(hostile.name, () => {
      runNbdCase(hostile);
    });
  }
}
