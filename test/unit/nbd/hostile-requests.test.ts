import { expect } from 'chai';
import {
  clientFlagsBoth,
  concat,
  disconnect,
  infoData,
  metaData,
  option,
  parseReplies,
  read,
  request,
  u32,
  write,
} from '../../helpers/nbd-client.ts';
import { eachNbdCase, type HostileNbdCase } from '../../helpers/scripted-nbd.ts';

const EPERM = 1;
const EINVAL = 22;
const ENOSPC = 28;
const ENOTSUP = 95;
const mebibyte = 2 ** 20;

/** After client flags that are right. */
function withFlags(...options: readonly Uint8Array[]): Uint8Array {
  return concat(u32(clientFlagsBoth), ...options);
}

const requests: readonly HostileNbdCase[] = [
  {
    name: 'a request without magic: dropped',
    script: request({ magic: 0x25609514, command: 0 }),
    end: 'bad-request-magic',
  },
  {
    name: 'a reply in place of a request: dropped',
    script: concat(u32(0x67446698), new Uint8Array(24)),
    end: 'bad-request-magic',
  },
  {
    name: 'an unknown command: EINVAL',
    script: request({ command: 999, cookie: 1n }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'an unknown command flag: EINVAL',
    script: request({ command: 0, flags: 0x8000, length: 512 }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'a flag that another command has: EINVAL',
    script: request({ command: 0, flags: 2, length: 512 }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'READ beyond the end: EINVAL',
    script: read(1n, mebibyte, 512),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'READ across the end: EINVAL, and no part of the data',
    script: read(1n, mebibyte - 512, 1024),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'READ whose end wraps around: EINVAL',
    script: request({ command: 0, offset: 0xfffffffffffffe00n, length: 1024 }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'WRITE beyond the end: ENOSPC, the payload is passed over',
    script: write(1n, mebibyte, new Uint8Array(4096)),
    answers: [ENOSPC],
    end: 'lives',
  },
  {
    name: 'WRITE to a read-only device: EPERM, the payload is passed over',
    fixture: { geometry: { readOnly: true } },
    script: write(1n, 0, new Uint8Array(4096)),
    answers: [EPERM],
    end: 'lives',
  },
  {
    name: 'requests for nothing: success',
    script: concat(
      ...[0, 1, 4, 6].map((command) => request({ command, cookie: BigInt(command), length: 0 })),
    ),
    answers: [0, 0, 0, 0],
    end: 'lives',
  },
  {
    name: 'unaligned READ and WRITE: EINVAL, and nothing is written',
    script: concat(read(1n, 1, 3), write(2n, 1, Uint8Array.of(1, 2, 3))),
    answers: [EINVAL, EINVAL],
    end: 'lives',
    then: ({ fixture }) => {
      expect(fixture.device.bytes.subarray(0, 512).every((byte) => byte === 0)).to.equal(true);
    },
  },
  {
    name: 'READ of 4 GiB less a byte: EINVAL',
    script: read(1n, 0, 0xffffffff),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'WRITE of 4 GiB less a byte: dropped, and nothing is allocated for it',
    script: request({ command: 1, length: 0xffffffff }),
    end: 'payload-too-long',
  },
  {
    name: 'WRITE above the maximum: EINVAL, the payload is passed over',
    limits: { payloadLength: 4096, discardLength: 65_536 },
    script: write(1n, 0, new Uint8Array(8192)),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'FLUSH of a part: EINVAL',
    script: request({ command: 3, offset: 512, length: 512 }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'TRIM and WRITE_ZEROES beyond the end: refused',
    script: concat(
      request({ command: 4, offset: mebibyte, length: 512 }),
      request({ command: 6, offset: mebibyte, length: 512 }),
    ),
    answers: [EINVAL, ENOSPC],
    end: 'lives',
  },
  {
    name: 'TRIM of 4 GiB: EINVAL beyond the end',
    script: request({ command: 4, length: 0xfffffe00 }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'zeroes that would not be fast: ENOTSUP',
    fixture: { geometry: { fastZeroes: false } },
    script: request({ command: 6, length: 4096, flags: 16 }),
    answers: [ENOTSUP],
    end: 'lives',
  },
  {
    name: 'BLOCK_STATUS of nothing: EINVAL',
    script: request({ command: 7, length: 0 }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'BLOCK_STATUS beyond the end: EINVAL',
    script: request({ command: 7, offset: mebibyte, length: 512 }),
    answers: [EINVAL],
    end: 'lives',
  },
  {
    name: 'the same cookie twice: both are answered',
    script: concat(read(5n, 0, 512), read(5n, 512, 512)),
    answers: [0, 0],
    end: 'lives',
  },
  {
    name: 'DISC with reads in flight: all are answered, what follows is not',
    script: concat(
      ...Array.from({ length: 64 }, (_, i) => read(BigInt(i), 0, 512)),
      disconnect,
      new Uint8Array(100).fill(0xff),
    ),
    answers: new Array<number>(64).fill(0),
    end: 'disconnected',
  },
  {
    name: 'DISC with lies in its fields: disconnected',
    script: request({ command: 2, flags: 0xffff, offset: 7, length: 0xffffffff }),
    end: 'disconnected',
  },
  {
    name: 'end of file within a header: gone',
    script: ({ client }) => {
      client.send(read(1n, 0, 512).slice(0, 13));
      client.peer.end();
    },
    end: 'truncated-request',
  },
  {
    name: 'end of file within a payload: gone, and nothing is written',
    script: ({ client }) => {
      client.send(write(1n, 0, new Uint8Array(4096).fill(7)).slice(0, 2000));
      client.peer.end();
    },
    end: 'truncated-request',
    then: ({ fixture }) => {
      expect(fixture.device.bytes[0]).to.equal(0);
    },
  },
  {
    name: 'a broken socket with requests at the device: gone, what is done is given back',
    script: ({ fixture, client }) => {
      fixture.device.automatic = false;
      client.exchange(read(1n, 0, 65_536), write(2n, 0, new Uint8Array(4096)));
      client.peer.error(104);
    },
    end: 'connection-reset',
  },
  {
    name: 'noise: dropped',
    script: new Uint8Array(1000).fill(0xee),
    end: 'bad-request-magic',
  },
];

/** Who holds memory and does nothing. */
const stalls: readonly HostileNbdCase[] = [
  {
    name: 'replies that are never taken: dropped',
    script: ({ fixture, client }) => {
      client.peer.pauseReading();
      client.exchange(...Array.from({ length: 100 }, (_, i) => read(BigInt(i), 0, 65_536)));
      fixture.timers.advance(80_000);
    },
    end: 'replies-not-taken',
  },
  {
    name: 'a DISC whose replies are never taken: dropped',
    script: ({ fixture, client }) => {
      client.peer.pauseReading();
      client.exchange(read(1n, 0, 4096), disconnect);
      fixture.timers.advance(80_000);
    },
    end: 'replies-not-taken',
  },
  {
    name: 'half a request header: dropped',
    script: ({ fixture, client }) => {
      client.exchange(read(1n, 0, 512).slice(0, 20));
      fixture.timers.advance(80_000);
    },
    end: 'request-not-completed',
  },
  {
    name: 'half a payload: dropped, and nothing is written',
    script: ({ fixture, client }) => {
      client.exchange(write(1n, 0, new Uint8Array(65_536).fill(7)).slice(0, 30_000));
      fixture.timers.advance(80_000);
    },
    end: 'request-not-completed',
    then: ({ fixture }) => {
      expect(fixture.device.bytes[0]).to.equal(0);
    },
  },
  {
    name: 'half the payload of a refused write: dropped',
    script: ({ fixture, client }) => {
      client.exchange(write(1n, mebibyte, new Uint8Array(65_536)).slice(0, 30_000));
      fixture.timers.advance(80_000);
    },
    end: 'request-not-completed',
  },
  {
    name: 'replies taken one after another, slowly: served',
    script: ({ fixture, client }) => {
      client.peer.pauseReading();
      client.exchange(...Array.from({ length: 5 }, (_, i) => read(BigInt(i), 0, 512)));
      for (let reply = 0; reply < 5; reply++) {
        fixture.timers.advance(50_000);
        client.peer.window = 512 + 28;
        client.peer.wake();
        fixture.reactor.run();
      }
      client.peer.resumeReading();
    },
    end: 'lives',
  },
  {
    name: 'an hour of idleness: served',
    script: ({ fixture }) => {
      fixture.timers.advance(3_600_000);
    },
    end: 'lives',
  },
  {
    name: 'an hour in which the device does not answer: served',
    script: ({ fixture, client }) => {
      fixture.device.automatic = false;
      client.exchange(
        read(1n, 0, 512),
        write(2n, 0, new Uint8Array(512)),
        request({ command: 3, cookie: 3n }),
      );
      fixture.device.finishAt(1);
      fixture.reactor.run();
      fixture.timers.advance(3_600_000);
      fixture.device.automatic = true;
      fixture.device.finish();
    },
    end: 'lives',
  },
  {
    name: 'an hour of back-pressure: served',
    limits: { requests: 2 },
    script: ({ fixture, client }) => {
      fixture.device.automatic = false;
      client.exchange(...Array.from({ length: 10 }, (_, i) => read(BigInt(i), 0, 512)));
      fixture.timers.advance(3_600_000);
      fixture.device.automatic = true;
      fixture.device.finish();
      fixture.reactor.run();
    },
    answers: new Array<number>(10).fill(0),
    end: 'lives',
  },
];

const from =
  (where: 'structured' | 'simple') =>
  (hostile: HostileNbdCase): HostileNbdCase => ({ ...hostile, from: where });

describe('a hostile NBD client', () => {
  describe('with structured replies', () => {
    eachNbdCase(requests.map(from('structured')));
  });
  describe('that stalls', () => {
    eachNbdCase(stalls.map(from('structured')));
  });
  describe('without what it has not negotiated', () => {
    eachNbdCase(
      [
        {
          name: 'DF: EINVAL',
          script: read(1n, 0, 512, 4),
          answers: [EINVAL],
          end: 'lives',
        } as const,
        {
          name: 'BLOCK_STATUS: EINVAL',
          script: request({ command: 7, length: 512 }),
          answers: [EINVAL],
          end: 'lives',
        } as const,
      ].map(from('simple')),
    );
    eachNbdCase([
      {
        name: 'a metadata context of another export: EINVAL',
        script: ({ fixture, client }) => {
          fixture.exports.push({ name: 'other', description: '', device: fixture.device });
          client.send(
            withFlags(
              option(8),
              option(10, metaData('other', ['base:allocation'])),
              option(7, infoData('disk')),
            ),
          );
          fixture.reactor.run();
          client.peer.take();
          const replies = parseReplies(client.exchange(request({ command: 7, length: 512 })));
          expect(replies.map(({ error }) => error)).to.deep.equal([EINVAL]);
          client.send(disconnect);
        },
        end: 'disconnected',
      },
    ]);
  });
});
