import { expect } from 'chai';
import fc from 'fast-check';
import {
  clientFlagsBoth,
  concat,
  disconnect,
  infoData,
  metaData,
} from '../../helpers/nbd-client.ts';
import { option, read, request, u32, utf8, write } from '../../helpers/nbd-client.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';

/** A session that uses most of the protocol: what gets mutated. */
const politeSession = concat(
  u32(clientFlagsBoth),
  option(3),
  option(8),
  option(9, metaData('disk', ['base:'])),
  option(10, metaData('disk', ['base:allocation'])),
  option(6, infoData('disk', [1, 2, 3])),
  option(4711, utf8('unknown')),
  option(7, infoData('disk', [3])),
  read(1n, 0, 4096),
  write(2n, 8192, new Uint8Array(4096).fill(7)),
  request({ command: 3, cookie: 3n }),
  request({ command: 4, cookie: 4n, length: 4096 }),
  request({ command: 6, cookie: 5n, length: 4096, flags: 2 }),
  request({ command: 7, cookie: 6n, length: 8192, flags: 8 }),
  write(7n, 0, new Uint8Array(100 * 1024)),
  disconnect,
);

/** Serves these bytes and end of file; everything must have been given back, and the end have come once. */
function survive(bytes: Uint8Array, chunk: number): string | undefined {
  const fixture = new NbdFixture({ poolBytes: 4 << 20, limits: { payloadLength: 1 << 20 } });
  const client = fixture.negotiate();
  client.peer.maximumChunk = chunk;
  client.send(bytes);
  client.peer.end();
  fixture.reactor.run();
  expect(client.ends).to.equal(1);
  fixture.expectNothingLeft();
  return client.ended;
}

describe('NBD with a hostile client', function () {
  // Properties take their time on a busy machine.
  this.timeout(60_000);

  it('serves the polite session to its end, as a control', () => {
    expect(survive(politeSession, Infinity)).to.equal('disconnected');
  });

  it('survives its own session cut off anywhere', () => {
    const lengths = fc.integer({ min: 0, max: 1200 });
    fc.assert(
      fc.property(lengths, (length) => {
        const end = survive(politeSession.subarray(0, length), Infinity);
        expect(end).to.be.oneOf(['peer-closed', 'truncated-request']);
      }),
      { numRuns: 150 },
    );
  });

  it('survives bytes that are changed, removed and inserted', () => {
    const edit = fc.record({
      at: fc.integer({ min: 0, max: 1100 }),
      remove: fc.integer({ min: 0, max: 8 }),
      insert: fc.uint8Array({ maxLength: 8 }),
    });
    fc.assert(
      fc.property(
        fc.array(edit, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 5000 }),
        (edits, chunk) => {
          let bytes = politeSession;
          for (const { at, remove, insert } of edits) {
            bytes = concat(bytes.subarray(0, at), insert, bytes.subarray(at + remove));
          }
          survive(bytes, chunk);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('survives noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
        survive(concat(u32(clientFlagsBoth), noise), Infinity);
      }),
      { numRuns: 100 },
    );
  });
});
