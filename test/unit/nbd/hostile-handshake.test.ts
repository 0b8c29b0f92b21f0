import {
  clientFlagsBoth,
  concat,
  infoData,
  metaData,
  option,
  u16,
  u32,
  utf8,
} from '../../helpers/nbd-client.ts';
import { eachNbdCase, type HostileNbdCase } from '../../helpers/scripted-nbd.ts';

const ack = 1;
const unsupported = 0x80000001;
const invalid = 0x80000003;
const unknown = 0x80000006;
const tooBig = 0x80000009;

/** After client flags that are right. */
function withFlags(...options: readonly Uint8Array[]): Uint8Array {
  return concat(u32(clientFlagsBoth), ...options);
}

const handshakes: readonly HostileNbdCase[] = [
  {
    name: 'unknown client flag: dropped',
    script: u32(4 | clientFlagsBoth),
    end: 'bad-handshake',
    detail: /unknown client flags 0x4/,
  },
  {
    name: 'wrong option magic: dropped',
    script: withFlags(utf8('IHAVEOPX'), u32(7), u32(0)),
    end: 'bad-handshake',
    detail: /without IHAVEOPT/,
  },
  {
    name: 'a web browser: dropped',
    script: utf8('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    end: 'bad-handshake',
  },
  {
    name: 'unknown option with data: unsupported, and the data is passed over',
    script: withFlags(option(4711, new Uint8Array(1000))),
    answers: [unsupported],
    end: 'lives',
  },
  {
    name: 'an option of 4 GiB: dropped at once, and nothing is allocated for it',
    script: withFlags(option(7, new Uint8Array(0), 0xffffffff)),
    end: 'option-too-long',
    detail: /announces 4294967295 bytes/,
  },
  {
    name: 'an option beyond what is read: too big, and passed over',
    script: withFlags(option(7, new Uint8Array(60_000))),
    answers: [tooBig],
    end: 'lives',
  },
  {
    name: 'options of more bytes than a handshake may have: dropped',
    script: withFlags(...Array.from({ length: 10 }, () => option(7, new Uint8Array(60_000)))),
    end: 'handshake-too-long',
    detail: /more than 262144 bytes/,
  },
  {
    name: 'more options than a handshake may have: dropped',
    script: withFlags(...Array.from({ length: 200 }, () => option(3))),
    end: 'too-many-options',
    detail: /more than 64 options/,
  },
  {
    name: 'LIST with data: invalid',
    script: withFlags(option(3, utf8('x'))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'STRUCTURED_REPLY with data: invalid',
    script: withFlags(option(8, utf8('x'))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'STRUCTURED_REPLY twice: acknowledged',
    script: withFlags(option(8), option(8)),
    answers: [ack],
    end: 'lives',
  },
  {
    name: 'GO with a name longer than the option: invalid',
    script: withFlags(option(7, concat(u32(100), utf8('disk'), u16(0)))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'GO with a name length of 4 GiB: invalid',
    script: withFlags(option(7, concat(u32(0xffffffff), utf8('disk'), u16(0)))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'GO shorter than its fields: invalid',
    script: withFlags(option(7, u32(0))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'GO with bytes behind its fields: invalid',
    script: withFlags(option(7, concat(infoData('disk'), utf8('x')))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'GO that announces 65535 informations: invalid',
    script: withFlags(option(7, concat(u32(4), utf8('disk'), u16(65535), u16(1)))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'GO that asks for the same information a thousand times: answered once',
    script: ({ client }) => {
      client.send(withFlags(option(6, infoData('disk', new Array<number>(1000).fill(3)))));
    },
    answers: [ack],
    end: 'lives',
  },
  {
    name: 'GO for an export that is not there: unknown',
    script: withFlags(option(7, infoData('other'))),
    answers: [unknown],
    end: 'lives',
  },
  {
    name: 'EXPORT_NAME for an export that is not there: dropped, for there is no other answer',
    script: withFlags(option(1, utf8('other'))),
    end: 'unknown-export',
    detail: /no export "other"/,
  },
  {
    name: 'an export name that would break a log line: escaped',
    script: withFlags(option(1, utf8('a\n\u001b[31mb'))),
    end: 'unknown-export',
    detail: /^no export "a\\n\\u001b\[31mb"$/,
  },
  {
    name: 'an export name of 5000 bytes: invalid',
    script: withFlags(option(7, infoData('x'.repeat(5000)))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'an export name with a zero byte: invalid',
    script: withFlags(option(7, infoData('di\0sk'))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'an export name that is not UTF-8: invalid',
    script: withFlags(option(7, infoData(Uint8Array.of(0xc3, 0x28)))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'SET_META_CONTEXT before structured replies: invalid',
    script: withFlags(option(10, metaData('disk', ['base:allocation']))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'a metadata query longer than the option: invalid',
    script: withFlags(option(8), option(10, concat(u32(4), utf8('disk'), u32(1), u32(5)))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'four billion metadata queries that are not there: invalid',
    script: withFlags(option(8), option(10, concat(u32(4), utf8('disk'), u32(0xffffffff)))),
    answers: [invalid],
    end: 'lives',
  },
  {
    name: 'STARTTLS: unsupported, and plain text goes on',
    script: withFlags(option(5)),
    answers: [unsupported],
    end: 'lives',
  },
  {
    name: 'EXTENDED_HEADERS: unsupported',
    script: withFlags(option(11)),
    answers: [unsupported],
    end: 'lives',
  },
  {
    name: 'ABORT without reading the answer: gone',
    script: ({ client }) => {
      client.peer.pauseReading();
      client.send(withFlags(option(2)));
      client.peer.close();
    },
    end: 'aborted',
  },
  {
    name: 'GO from a client without fixed newstyle: dropped',
    script: concat(u32(0), option(7, infoData('disk'))),
    end: 'bad-handshake',
    detail: /client without haggling/,
  },
  {
    name: 'silence after the greeting: dropped after the time of a handshake',
    script: ({ fixture }) => {
      fixture.timers.advance(10_000);
    },
    end: 'handshake-timeout',
  },
  {
    name: 'a byte a second: dropped after the time of a handshake',
    script: ({ fixture, client }) => {
      for (const byte of withFlags(option(3)).slice(0, 15)) {
        client.send(Uint8Array.of(byte));
        fixture.reactor.run();
        fixture.timers.advance(1000);
      }
    },
    end: 'handshake-timeout',
  },
  {
    name: 'option after option without reading an answer: dropped after the time of a handshake',
    script: ({ fixture, client }) => {
      client.peer.pauseReading();
      client.send(withFlags(...Array.from({ length: 60 }, () => option(3))));
      fixture.reactor.run();
      fixture.timers.advance(10_000);
    },
    end: 'handshake-timeout',
  },
  {
    name: 'end of file within an option: gone',
    script: ({ client }) => {
      client.send(withFlags(option(7, infoData('disk')).slice(0, 17)));
      client.peer.end();
    },
    end: 'peer-closed',
  },
];

describe('a hostile NBD client in the handshake', () => {
  eachNbdCase(handshakes);
});
