/**
 * Everything that a target can send: a session over a real transport gets the input after its login (or in place of it), with a
 * read, a write and a command without data outstanding. Whatever comes, the session must go on or end its connection for an
 * enumerated reason; every task must end, nothing may be left over, and no byte that the target did not send may count.
 */
import type { FakeReactor } from '../../../src/reactor/fake-reactor.ts';
import { ConnectionEnd } from '../../../src/transport/transport.ts';
import { keyText, onIser, onTcp, pduHeader, politeKeys } from '../../helpers/scripted-pdu.ts';
import type { PduFields } from '../../helpers/scripted-pdu.ts';
import {
  ScriptedLane,
  type ScriptedVolume,
  type TransportName,
} from '../../helpers/scripted-lane.ts';
import { TcpWireTarget } from '../../helpers/scripted-wire.ts';
import { loginTemplate } from '../../helpers/session-fixture.ts';
import { expectPrintable, frame, type FuzzTarget, unframe } from '../fuzz-target.ts';
import { mutate } from '../mutate.ts';
import type { SeededRandom } from '../random.ts';
import { Opcode } from '../../../src/wire/bhs.ts';

const enumeratedEnds: ReadonlySet<string> = new Set(Object.values(ConnectionEnd));
/** Arenas begin with one or the other; what the session does must not depend on it. */
const fills = [0x5a, 0xa5] as const;
/** Every so often an input is run with both. */
const comparedOneIn = 4;
const lengths = { read: 6000, write: 20_000 } as const;

/** Of the last execution that left nothing behind: arenas are what executions cost most. */
let cleanReactor: FakeReactor | undefined;

type Digests = 'none' | 'both';

interface World {
  readonly lane: ScriptedLane;
  readonly volume: ScriptedVolume;
}

/** A session that has sent its login request. */
async function connect(transport: TransportName, fill: number, digests: Digests): Promise<World> {
  const lane = new ScriptedLane({
    poolBytes: 1024 * 1024,
    volumes: 1,
    fill,
    ...(cleanReactor === undefined ? {} : { reactor: cleanReactor }),
  });
  // Until it has been closed, nobody else may use it.
  cleanReactor = undefined;
  const digest = digests === 'both' ? 'crc32c' : 'none';
  const volume = lane.volume(transport, {
    login: { ...loginTemplate, headerDigest: digest, dataDigest: digest },
    timeouts: { startTimeoutMs: 20_000 },
  });
  await volume.begin();
  return { lane, volume };
}

/** A session in full feature phase with three commands and a ping outstanding. */
async function logIn(transport: TransportName, fill: number, digests: Digests): Promise<World> {
  const world = await connect(transport, fill, digests);
  const { lane, volume } = world;
  const { wire } = volume;
  const keys = politeKeys(transport === 'iser').map((pair) =>
    digests === 'both' ? pair.replace('Digest=None', 'Digest=CRC32C') : pair,
  );
  wire.login(keys);
  if (digests === 'both') wire.framing = { headerDigest: true, dataDigest: true };
  await lane.rest();
  wire.openWindow();
  await lane.rest();
  volume.submit('read', lengths.read);
  volume.submit('write', lengths.write);
  volume.submit('none');
  await lane.rest();
  // Silence for as long as brings a ping.
  await lane.pass(6000);
  wire.take();
  return world;
}

/** What came of it: everything that anybody outside can see. */
function outcome({ volume }: World): string {
  const { wire } = volume;
  wire.take();
  return JSON.stringify({
    events: volume.events,
    outcomes: [...volume.outcomes],
    requests: wire.requests.map(({ bhs, data }) => [
      Buffer.from(bhs).toString('hex'),
      Buffer.from(data).toString('hex').slice(0, 64),
    ]),
  });
}

async function finish(world: World): Promise<string> {
  const { lane, volume } = world;
  await lane.rest();
  // Long enough for pings, task management and their time limits.
  await lane.pass(3000);
  const seen = outcome(world);
  for (const { end, detail } of volume.ends) {
    if (!enumeratedEnds.has(end)) throw new Error(`connection ended with ${end}`);
    if (end === ConnectionEnd.internalError) throw new Error(`internal error: ${detail}`);
    expectPrintable(detail);
  }
  if (volume.startError !== undefined) expectPrintable(volume.startError.message);
  await lane.close();
  cleanReactor = lane.reactor;
  return seen;
}

type Feed = (world: World, input: Uint8Array) => void;

function sessionTarget(
  name: string,
  prepare: (fill: number) => Promise<World>,
  makeSamples: () => Promise<readonly Uint8Array[]>,
  generate: (random: SeededRandom, samples: readonly Uint8Array[]) => Uint8Array,
  feed: Feed,
): FuzzTarget & { prepareSamples(): Promise<void> } {
  let samples: readonly Uint8Array[] = [];
  return {
    name,
    async prepareSamples() {
      samples = await makeSamples();
    },
    generate: (random) => generate(random, samples),
    async run(input) {
      const compared = input.length % comparedOneIn === 0;
      const seen: string[] = [];
      for (const fill of compared ? fills : [fills[0]]) {
        const world = await prepare(fill);
        feed(world, input);
        seen.push(await finish(world));
      }
      if (compared && seen[0] !== seen[1]) {
        throw new Error(`depends on memory that nobody wrote:\n${seen[0]}\n${seen[1]}`);
      }
    },
  };
}

/** PDUs that fit what `logIn` leaves outstanding. */
async function fullFeaturePdus(transport: TransportName, digests: Digests): Promise<PduFields[]> {
  const world = await logIn(transport, fills[0], digests);
  const { wire } = world.volume;
  const [read, write, none] = wire.commands;
  const ping = wire.requests.find(({ opcode }) => opcode === 0x00);
  await world.lane.close();
  const sense = Uint8Array.of(0, 18, 0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2a, 9, 0, 0, 0, 0);
  const descriptorSense = Uint8Array.of(
    0,
    20,
    0x72,
    3,
    0x11,
    0,
    0,
    0,
    0,
    12,
    0,
    10,
    0x80,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    5,
  );
  const rejected = read.bhs;
  const numbers = { statSn: 101, expCmdSn: wire.expCmdSn, maxCmdSn: (wire.expCmdSn + 63) >>> 0 };
  const usual: PduFields[] = [
    { opcode: Opcode.scsiResponse, itt: none.itt, ttt: 0 },
    { opcode: Opcode.scsiResponse, itt: none.itt, status: 2, data: sense },
    { opcode: Opcode.scsiResponse, itt: read.itt, status: 2, data: descriptorSense },
    { opcode: Opcode.scsiResponse, itt: read.itt, flags: 0x82, word44: lengths.read },
    { opcode: Opcode.scsiResponse, itt: read.itt, flags: 0x84, word44: 512 },
    { opcode: Opcode.scsiResponse, itt: write.itt, status: 0x28 },
    { opcode: Opcode.scsiResponse, itt: write.itt, status: 0x08 },
    { opcode: Opcode.scsiResponse, itt: write.itt, response: 1 },
    { opcode: Opcode.nopIn },
    { opcode: Opcode.nopIn, ttt: 0x1234, lun: 0x0003000000000000n },
    { opcode: Opcode.nopIn, itt: ping?.itt ?? 0, data: Uint8Array.of(1, 2, 3) },
    { opcode: Opcode.reject, response: 4, data: rejected },
    { opcode: Opcode.reject, response: 2, data: write.bhs },
    { opcode: Opcode.reject, response: 9, data: ping?.bhs ?? rejected },
    { opcode: Opcode.asyncMessage, data: sense, bytes: { 36: 0 } },
    { opcode: Opcode.asyncMessage, bytes: { 36: 1, 43: 3 } },
    { opcode: Opcode.asyncMessage, bytes: { 36: 2, 41: 1, 43: 1 } },
    { opcode: Opcode.asyncMessage, bytes: { 36: 3, 41: 1, 43: 1 } },
    { opcode: Opcode.asyncMessage, bytes: { 36: 4, 43: 3 } },
    { opcode: Opcode.asyncMessage, bytes: { 36: 255 } },
    { opcode: Opcode.taskManagementResponse, itt: read.itt },
    { opcode: Opcode.textResponse, itt: read.itt, data: keyText(['TargetName=iqn.a']) },
    { opcode: Opcode.logoutResponse, itt: none.itt, bytes: { 40: 0, 41: 2 } },
    { opcode: Opcode.loginResponse, itt: none.itt, flags: 0x87 },
    { opcode: Opcode.scsiResponse, itt: 0xffffffff },
  ];
  const dataPdus: PduFields[] = [
    { opcode: Opcode.dataIn, flags: 0, itt: read.itt, data: new Uint8Array(3000).fill(1) },
    {
      opcode: Opcode.dataIn,
      flags: 0x80,
      itt: read.itt,
      dataSn: 1,
      bufferOffset: 3000,
      data: new Uint8Array(3000).fill(2),
    },
    { opcode: Opcode.dataIn, flags: 0x81, itt: read.itt, data: new Uint8Array(lengths.read) },
    {
      opcode: Opcode.dataIn,
      flags: 0x83,
      itt: read.itt,
      word44: 5488,
      data: new Uint8Array(512),
    },
    { opcode: Opcode.r2t, itt: write.itt, ttt: 7, word44: 12_000 },
    {
      opcode: Opcode.r2t,
      itt: write.itt,
      ttt: 8,
      dataSn: 1,
      bufferOffset: 12_000,
      word44: 8000,
    },
  ];
  const all = transport === 'tcp' ? [...usual, ...dataPdus, ...dataPdus] : usual;
  return all.map((fields) => ({ ...numbers, ...fields }));
}

const noNumbers = { statSn: 0, expCmdSn: 0, maxCmdSn: 0 };
const none = new Uint8Array(0);

/** Samples as single PDUs, and as a few orderly exchanges. */
function exchanges(
  pdus: readonly Uint8Array[],
  join: (...parts: Uint8Array[]) => Uint8Array,
): Uint8Array[] {
  const single = pdus.map((pdu) => join(pdu));
  const pairs = pdus.map((pdu, i) => join(pdu, pdus[(i * 7 + 3) % pdus.length]));
  const orderly = [join(...pdus.slice(-6)), join(...pdus.slice(8, 11), ...pdus.slice(0, 2))];
  return [...single, ...pairs, ...orderly];
}

const concat = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));

function feedStream({ volume, lane }: World, input: Uint8Array): void {
  const { wire } = volume;
  if (!(wire instanceof TcpWireTarget)) throw new Error('a stream needs TCP');
  // Cut anywhere: by the input's own last byte.
  wire.peer.maximumChunk = [1, 7, 48, 1000, Infinity, Infinity][(input.at(-1) ?? 0) % 6];
  wire.raw(input);
  lane.reactor.run();
}

function feedMessages({ volume, lane }: World, input: Uint8Array): void {
  for (const message of unframe(input)) {
    if (volume.wire.closed) return;
    volume.wire.raw(message.slice(0, 8268));
    lane.reactor.run();
  }
}

/** Messages of the input get the digests that they should have, except those whose first byte has its top bit set. */
function feedDigested({ volume, lane }: World, input: Uint8Array): void {
  for (const message of unframe(input)) {
    if (volume.wire.closed) return;
    if (message.length < 48 || message[0] >= 0x80) volume.wire.raw(message);
    else {
      const header = message.slice(0, Math.min(message.length, 48 + 4 * message[4]));
      const framing = { headerDigest: true, dataDigest: true };
      volume.wire.raw(onTcp(header, message.slice(header.length), framing));
    }
    lane.reactor.run();
  }
}

const loginAnswers: readonly Partial<PduFields>[] = [
  { data: keyText(politeKeys(false)) },
  { flags: 0x04, data: keyText(['MaxBurstLength=65536']) },
  { flags: 0x44, data: keyText(['HeaderDigest=None']).slice(0, 9) },
  { bytes: { 36: 2, 37: 1 } },
  { bytes: { 36: 1, 37: 1 }, data: keyText(['TargetAddress=192.0.2.9:3260,1']) },
  { bytes: { 36: 3, 37: 1 } },
  { data: keyText(['TargetPortalGroupTag=1', ...politeKeys(false)]) },
];

/** The login request's tag is always the first slot's: what a fresh transport gives out. */
const loginTag = (1 << 12) >>> 0;

function loginPdus(): Uint8Array[] {
  return loginAnswers.map((fields) => {
    const header = pduHeader(
      { opcode: Opcode.loginResponse, flags: 0x87, itt: loginTag, ...fields },
      { statSn: 100, expCmdSn: 1, maxCmdSn: 1 },
    );
    return onTcp(header, fields.data ?? none);
  });
}

export const sessionTargets = [
  sessionTarget(
    'tcp-login',
    (fill) => connect('tcp', fill, 'none'),
    () => Promise.resolve(loginPdus()),
    mutate,
    feedStream,
  ),
  sessionTarget(
    'tcp-pdus',
    (fill) => logIn('tcp', fill, 'none'),
    async () => {
      const pdus = await fullFeaturePdus('tcp', 'none');
      return exchanges(
        pdus.map((fields) => onTcp(pduHeader(fields, noNumbers), fields.data ?? none)),
        concat,
      );
    },
    mutate,
    feedStream,
  ),
  sessionTarget(
    'tcp-pdus-digests',
    (fill) => logIn('tcp', fill, 'both'),
    async () => {
      const pdus = await fullFeaturePdus('tcp', 'both');
      return exchanges(
        pdus.map((fields) => concat(pduHeader(fields, noNumbers), fields.data ?? none)),
        frame,
      );
    },
    mutate,
    feedDigested,
  ),
  sessionTarget(
    'iser-pdus',
    (fill) => logIn('iser', fill, 'none'),
    async () => {
      const pdus = await fullFeaturePdus('iser', 'none');
      const hello = onIser(new Uint8Array(48), none, { iserType: 0x30 });
      const withStags = onIser(pduHeader(pdus[0], noNumbers), none, { iserType: 0x1c });
      return exchanges(
        [
          hello,
          withStags,
          ...pdus.map((fields) => onIser(pduHeader(fields, noNumbers), fields.data ?? none)),
        ],
        frame,
      );
    },
    mutate,
    feedMessages,
  ),
];
