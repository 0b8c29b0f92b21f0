/** NBD: what a client may send in the handshake and after it, cut at any byte. */
import { NbdEnd } from '../../../src/nbd/end.ts';
import {
  clientFlagsBoth,
  concat,
  disconnect,
  infoData,
  metaData,
  option,
  parseOptionReplies,
  parseReplies,
  read,
  request,
  u32,
  utf8,
  write,
} from '../../helpers/nbd-client.ts';
import { NbdFixture, type NbdPeer } from '../../helpers/nbd-fixture.ts';
import { expectPrintable, type FuzzTarget } from '../fuzz-target.ts';
import { mutate } from '../mutate.ts';

const ends: ReadonlySet<string> = new Set(Object.values(NbdEnd));
/** Small, so that inputs of a few KiB reach every one of them. */
const limits = {
  requests: 8,
  bytesInFlight: 64 * 1024,
  payloadLength: 32 * 1024,
  discardLength: 64 * 1024,
  chunkLength: 4096,
  optionLength: 1024,
  optionDiscardLength: 2048,
  handshakeLength: 16 * 1024,
  options: 32,
};

/** What the last execution left clean: arenas are what executions cost most. */
let clean: NbdFixture | undefined;

/** Calls `use` with a fixture that nobody has left anything in. */
function withFixture(use: (fixture: NbdFixture) => void): void {
  const fixture =
    clean ?? new NbdFixture({ poolBytes: 2048 * 1024, sizeBytes: 256 * 1024, limits });
  clean = undefined;
  fixture.device.recording = false;
  use(fixture);
  fixture.expectNothingLeft();
  clean = fixture;
}

/** Serves the input and end of file, then checks how it ended and that nothing is left. */
function serve(fixture: NbdFixture, client: NbdPeer, input: Uint8Array): void {
  client.peer.maximumChunk = [1, 5, 28, 500, Infinity, Infinity][(input.at(-1) ?? 0) % 6];
  client.send(input);
  client.peer.end();
  fixture.reactor.run();
  // Who is refused by rule at the very end still waits for it.
  if (client.ends === 0) fixture.timers.advance(120_000);
  fixture.reactor.run();
  if (client.ends !== 1) throw new Error(`${client.ends} ends`);
  if (!ends.has(client.ended ?? '')) throw new Error(`ended with ${client.ended}`);
  expectPrintable(client.detail);
}

const options: readonly Uint8Array[] = [
  option(3),
  option(6, infoData('disk', [0, 1, 2, 3])),
  option(6, infoData('')),
  option(8),
  option(9, metaData('disk', [])),
  option(9, metaData('disk', ['base:', 'base:allocation'])),
  option(10, metaData('disk', ['base:allocation'])),
  option(5),
  option(11),
  option(4711, utf8('unknown')),
  option(10, new Uint8Array(1500)),
  option(7, infoData('other')),
];
const requests: readonly Uint8Array[] = [
  read(1n, 0, 4096),
  read(2n, 512, 20_000 - (20_000 % 512), 4),
  write(3n, 8192, new Uint8Array(4096).fill(7)),
  write(4n, 0, new Uint8Array(20_480).fill(9), 1),
  write(5n, 2 ** 40, new Uint8Array(512)),
  request({ command: 3, cookie: 6n }),
  request({ command: 4, cookie: 7n, length: 4096 }),
  request({ command: 5, cookie: 8n, offset: 512, length: 512 }),
  request({ command: 6, cookie: 9n, length: 4096, flags: 2 }),
  request({ command: 7, cookie: 10n, length: 8192, flags: 8 }),
  request({ command: 7, cookie: 11n, length: 65_536 }),
  request({ command: 9, cookie: 12n, length: 1 }),
  request({ command: 0, cookie: 13n, offset: 0xffff_ffff_ffff_fe00n, length: 1024 }),
  read(14n, 0, 40_960),
  request({ command: 1, cookie: 15n, length: 0 }),
];
const flags = u32(clientFlagsBoth);
const go = option(7, infoData('disk', [3]));

const handshakeSamples = [
  concat(flags, ...options, go, read(1n, 0, 512), disconnect),
  concat(flags, option(1, utf8('disk')), read(1n, 0, 512)),
  concat(u32(1), option(1, utf8(''))),
  concat(flags, option(2)),
  concat(flags, option(8), go, ...requests.slice(0, 3)),
  ...options.map((one) => concat(flags, one, go)),
];

const handshake: FuzzTarget = {
  name: 'nbd-handshake',
  generate: (random) => mutate(random, handshakeSamples),
  run(input) {
    withFixture((fixture) => {
      serve(fixture, fixture.negotiate(), input);
    });
  },
};

const requestSamples = [
  concat(...requests, disconnect),
  concat(...requests, ...requests),
  ...requests,
  ...requests.map((one, i) => concat(one, requests[(i + 5) % requests.length], disconnect)),
];

/** With structured replies every byte of the answer can be read without knowing the question. */
const structuredRequests: FuzzTarget = {
  name: 'nbd-requests',
  generate: (random) => mutate(random, requestSamples),
  run(input) {
    withFixture((fixture) => {
      const client = fixture.structured();
      serve(fixture, client, input);
      const replies = parseReplies(client.peer.take());
      if (replies.length > input.length / 28) throw new Error(`${replies.length} replies`);
    });
  },
};

const kernelRequests: FuzzTarget = {
  name: 'nbd-requests-simple',
  generate: (random) => mutate(random, requestSamples),
  run(input) {
    withFixture((fixture) => {
      serve(fixture, fixture.attach(), input);
    });
  },
};

/** The option replies of a handshake that only asks, read as a strict client reads them. */
const optionReplies: FuzzTarget = {
  name: 'nbd-options',
  generate: (random) => mutate(random, options),
  run(input) {
    withFixture((fixture) => {
      const client = fixture.negotiate();
      fixture.reactor.run();
      client.peer.take();
      // One option with this data, whatever its code: its length is the truth.
      const code = [3, 5, 6, 8, 9, 10, 11, 4711][(input.at(11) ?? 0) % 8];
      client.send(flags, option(code, input.slice(16)));
      fixture.reactor.run();
      const replies = parseOptionReplies(client.peer.take());
      if (client.ends === 0 && replies.length === 0) throw new Error('an option without an answer');
      for (const { type, data } of replies) {
        if (type >= 0x80000000) expectPrintable(Buffer.from(data).toString());
      }
      client.peer.end();
      fixture.reactor.run();
      if (client.ends !== 1) throw new Error(`${client.ends} ends`);
    });
  },
};

export const nbdTargets: readonly FuzzTarget[] = [
  handshake,
  optionReplies,
  structuredRequests,
  kernelRequests,
];
