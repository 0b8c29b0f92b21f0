/** Everything that is text: keys of login and discovery, URLs, lines of the control socket, the configuration file. */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { parseConfig } from '../../../daemon/config/load.ts';
import { readLines } from '../../../daemon/control/lines.ts';
import { requestSchema } from '../../../daemon/control/protocol.ts';
import { ConfigurationError } from '../../../src/errors.ts';
import { parseSendTargets } from '../../../src/iscsi/discovery.ts';
import { parseTargetAddress } from '../../../src/iscsi/target-address.ts';
import { parseTextMap } from '../../../src/iscsi/text-keys.ts';
import { formatTargetUrl, parseTargetUrl } from '../../../src/iscsi/url.ts';
import { parseBinary, parseNumber } from '../../../src/iscsi/values.ts';
import { keyText, politeKeys } from '../../helpers/scripted-pdu.ts';
import { expectEnumerated, expectPrintable, type FuzzTarget, InputReader } from '../fuzz-target.ts';
import { mutate } from '../mutate.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

function attempt(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    expectEnumerated(error);
  }
}

const textSamples = [
  keyText(politeKeys(true)),
  keyText([
    'TargetName=iqn.2026-11.a:b',
    'TargetAddress=[fe80::1%eth0]:3260,1',
    'TargetAddress=192.0.2.1',
  ]),
  keyText(['TargetName=iqn.2026-11.a:b', 'TargetName=iqn.2026-11.c']),
  keyText(['CHAP_A=5', 'CHAP_I=17', 'CHAP_C=0x00112233445566778899aabbccddeeff']),
  keyText(['CHAP_C=0bAAAABBBBCCCC==', 'X-com.example.key=1,2,3', 'X#key=ü']),
];

const textKeys: FuzzTarget = {
  name: 'text-keys',
  generate: (random) => mutate(random, textSamples),
  run(input) {
    attempt(() => {
      for (const [key, value] of parseTextMap(input, 'subject')) {
        attempt(() => parseTargetAddress(value));
        attempt(() => parseNumber(key, value, 0, 65535));
        attempt(() => parseBinary(key, value, 1024));
      }
    });
    attempt(() => {
      for (const { targetName, portals } of parseSendTargets(input)) {
        expectPrintable(targetName);
        for (const { address } of portals) expectPrintable(address);
      }
    });
  },
};

const urlSamples = [
  'iser://192.0.2.1/iqn.2026-11.example:disk/0',
  'iscsi://user%secret@host.example:3261/iqn.2026-11.example:disk/255',
  'iser://[fe80::1%25eth0]:3260/iqn.2026-11.example%3Adisk',
  'iscsi://host',
].map((text) => encoder.encode(text));

const url: FuzzTarget = {
  name: 'url',
  generate: (random) => mutate(random, urlSamples),
  run(input) {
    attempt(() => {
      const parsed = parseTargetUrl(decoder.decode(input));
      // What is understood can be written down and understood again.
      const { secret, ...shown } = parsed;
      const again = parseTargetUrl(formatTargetUrl(parsed));
      if (JSON.stringify(again) !== JSON.stringify(shown)) {
        throw new Error(`${JSON.stringify(shown)} became ${JSON.stringify(again)}`);
      }
      if (
        secret !== undefined &&
        secret.length > 3 &&
        formatTargetUrl(parsed).includes(`%${secret}@`)
      )
        throw new Error('the secret is shown');
    });
  },
};

const lineSamples = [
  '{"jsonrpc":"2.0","id":1,"method":"status"}\n',
  '{"jsonrpc":"2.0","id":"a","method":"status","params":{"a":[1,2,{"b":null}]}}\n\n{"jsonrpc":"2.0","id":2,"method":"x"}\n',
  `${'['.repeat(200)}\n`,
].map((text) => encoder.encode(text));

/** Enough of a socket for readLines. */
class LineSource extends EventEmitter {
  destroyed = false;
  destroy(): void {
    this.destroyed = true;
  }
}

const maximumLineBytes = 4096;

const controlLines: FuzzTarget = {
  name: 'control-lines',
  generate: (random) => mutate(random, lineSamples),
  run(input) {
    const source = new LineSource();
    let lineBytes = 0;
    readLines(source as unknown as Socket, maximumLineBytes, (line) => {
      lineBytes += line.length;
      let document: unknown;
      try {
        document = JSON.parse(line);
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        return;
      }
      requestSchema.safeParse(document);
    });
    const reader = new InputReader(input);
    const chunk = [1, 13, 1000, 65_536][(input.at(-1) ?? 0) % 4];
    while (reader.left > 0 && !source.destroyed)
      source.emit('data', Buffer.from(reader.take(chunk)));
    if (lineBytes > input.length) throw new Error('more text than came');
  },
};

const configSamples = [
  `[initiator]
name = "iqn.2026-11.example:host"
[memory]
registration = "cache"
pin_limit = "64MiB"
arena_size = 268435456
[control]
socket = "/run/iserd/control.sock"
[log]
level = "info"
[limits]
clients = 8
stall_timeout = 30
[[volume]]
name = "data"
url = "iser://192.0.2.1/iqn.2026-11.example:disk/0"
device = "auto"
socket = "/run/iserd/data.sock"
lanes = 2
chap_user = "u"
chap_secret_file = "/etc/iserd/secret"
replacement_timeout = -1
`,
  '[[volume]]\nname = "a"\nurl = "iscsi://h/iqn.2026-11.a:b/1"\ndevice = "/dev/nbd3"\n',
  'a = [[[{ b = 1979-05-27T07:32:00Z, c = """x\\u0041""" }]]]\nx.y.z = 0x1f\n"q" = inf\n',
].map((text) => encoder.encode(text));

const config: FuzzTarget = {
  name: 'config',
  generate: (random) => mutate(random, configSamples),
  run(input) {
    try {
      parseConfig(decoder.decode(input), 'file');
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
    }
  },
};

export const textTargets: readonly FuzzTarget[] = [textKeys, url, controlLines, config];
