import { expect } from 'chai';
import fc from 'fast-check';
import { NbdCounter } from '../../../src/nbd/counters.ts';
import {
  concat,
  disconnect,
  parseReplies,
  read,
  request,
  write,
} from '../../helpers/nbd-client.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';

function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}

describe('NBD receive path', function () {
  // Properties take their time on a busy machine.
  this.timeout(60_000);

  it('takes many small requests by one receive and moves nothing', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const writes = Array.from({ length: 100 }, (_, i) => write(BigInt(i), i * 512, filled(512, i)));
    client.exchange(...writes);
    const { counters } = client.connection;
    expect(counters[NbdCounter.writes]).to.equal(100);
    expect(counters[NbdCounter.receives]).to.equal(1);
    expect(counters[NbdCounter.bytesMoved]).to.equal(0);
    for (let i = 0; i < 100; i++) expect(fixture.device.bytes[i * 512]).to.equal(i);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('moves nothing but headers in a stream of large writes, with one receive each', () => {
    const fixture = new NbdFixture({ sizeBytes: 64 * 1024 * 1024, poolBytes: 16 * 1024 * 1024 });
    const client = fixture.attach();
    const length = 100 * 1024;
    client.exchange(write(0n, 0, filled(length, 1)));
    const before = client.connection.counters.slice();
    const writes = Array.from({ length: 50 }, (_, i) => write(BigInt(i), 0, filled(length, i)));
    client.exchange(...writes);
    const { counters } = client.connection;
    const moved = counters[NbdCounter.bytesMoved] - before[NbdCounter.bytesMoved];
    const receives = counters[NbdCounter.receives] - before[NbdCounter.receives];
    expect(moved).to.be.below(9 * 28);
    expect(receives).to.be.below(55);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('waits on a small buffer when idle after a large write', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const idle = fixture.pool.statistics.usedBytes;
    client.exchange(write(1n, 0, filled(1024 * 1024, 1)));
    expect(fixture.pool.statistics.usedBytes).to.equal(idle);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('goes back to bulk receives when requests get small', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.exchange(write(1n, 0, filled(200 * 1024, 1)));
    const small = Array.from({ length: 2000 }, (_, i) => read(BigInt(i), 0, 512));
    client.exchange(...small);
    expect(client.connection.counters[NbdCounter.receives]).to.be.below(100);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('keeps a payload where it landed until the device is done, whatever comes after', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    client.exchange(write(1n, 0, filled(4096, 0xaa)));
    for (let i = 0; i < 60; i++) client.exchange(write(2n, 8192, filled(4096, 0xbb)));
    fixture.device.finish();
    fixture.reactor.run();
    expect(fixture.device.bytes.subarray(0, 4096).every((byte) => byte === 0xaa)).to.equal(true);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  interface Step {
    readonly kind: 'read' | 'write' | 'bad' | 'badWrite' | 'flush';
    readonly block: number;
    readonly blocks: number;
  }

  function encode(steps: readonly Step[]): Uint8Array {
    return concat(
      ...steps.map(({ kind, block, blocks }, i) => {
        const cookie = BigInt(i);
        const payload = filled(blocks * 512, i + 1);
        switch (kind) {
          case 'read':
            return read(cookie, block * 512, blocks * 512);
          case 'write':
            return write(cookie, block * 512, payload);
          case 'bad':
            return read(cookie, block * 512 + 1, 512);
          case 'badWrite':
            return write(cookie, block * 512 + 1, payload);
          case 'flush':
            return request({ command: 3, cookie });
        }
      }),
      disconnect,
    );
  }

  /** Serves the bytes in the given pieces; gives what came back and what the device then holds. */
  function serve(bytes: Uint8Array, pieces: readonly number[], chunk: number) {
    const limits = { chunkLength: 4096, requests: 4 };
    const fixture = new NbdFixture({ sizeBytes: 128 * 1024, poolBytes: 4 << 20, limits });
    const client = fixture.attach();
    client.peer.maximumChunk = chunk;
    let at = 0;
    for (const piece of pieces) {
      client.send(bytes.subarray(at, at + piece));
      at += piece;
      fixture.reactor.run();
    }
    client.send(bytes.subarray(at));
    fixture.reactor.run();
    expect(client.ended).to.equal('disconnected');
    fixture.expectNothingLeft();
    return { replies: client.peer.take(), device: fixture.device.bytes, log: fixture.device.log };
  }

  it('has the same effects however the request stream is cut', () => {
    const step: fc.Arbitrary<Step> = fc.record({
      kind: fc.constantFrom('read', 'write', 'write', 'bad', 'badWrite', 'flush'),
      block: fc.integer({ min: 0, max: 100 }),
      blocks: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 5, max: 120 })),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 25 }),
        fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 30 }),
        fc.integer({ min: 1, max: 9000 }),
        (steps, pieces, chunk) => {
          const bytes = encode(steps);
          const whole = serve(bytes, [], Infinity);
          const cut = serve(bytes, pieces, chunk);
          expect(cut.log).to.deep.equal(whole.log);
          expect(cut.device).to.deep.equal(whole.device);
          const lengthOf = (cookie: bigint): number => {
            const { kind, blocks } = steps[Number(cookie)];
            return kind === 'read' ? blocks * 512 : 0;
          };
          const byCookie = (replies: Uint8Array) =>
            parseReplies(replies, lengthOf).sort((a, b) => Number(a.cookie - b.cookie));
          expect(byCookie(cut.replies)).to.deep.equal(byCookie(whole.replies));
        },
      ),
      { numRuns: 80 },
    );
  });
});
