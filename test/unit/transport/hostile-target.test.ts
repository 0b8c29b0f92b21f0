import { expect } from 'chai';
import fc from 'fast-check';
import { IserFixture } from '../../helpers/iser-fixture.ts';
import { concat, iserMessage, targetPdu } from '../../helpers/target-pdus.ts';
import { taskMemory, TcpFixture } from '../../helpers/tcp-fixture.ts';
import { pattern } from '../../helpers/transport-fixture.ts';

/** A change of one byte: where (modulo the length) and to what. */
const mutations = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 });
const peerFault = ['protocol-error', 'header-digest-error', 'data-digest-error'];
const guard = 0x5a;

function mutate(bytes: Uint8Array, changes: readonly (readonly [number, number])[]): Uint8Array {
  const mutated = bytes.slice();
  for (const [at, value] of changes) mutated[at % mutated.length] = value;
  return mutated;
}

/** Task memory of the tests below: a read buffer, then nothing that a target has any business with. */
const readLength = 6000;
const guarded = 40_000;
const guardBytes = Buffer.alloc(guarded - readLength, guard);

function expectSound(fixture: TcpFixture | IserFixture): void {
  const { reactor, events } = fixture;
  expect(reactor.violations).to.deep.equal([]);
  for (const { end } of events.ends) expect(peerFault).to.include(end);
  const beyond = reactor.arena.bytes.subarray(taskMemory + readLength, taskMemory + guarded);
  expect(guardBytes.compare(beyond)).to.equal(0);
}

describe('a hostile target', () => {
  for (const digests of [false, true]) {
    it(`on TCP ${digests ? 'with' : 'without'} digests costs at most its own connection`, () => {
      fc.assert(
        fc.property(mutations, fc.nat(20_000), (changes, cut) => {
          const tcp = new TcpFixture(8).fullFeature({ headerDigest: digests, dataDigest: digests });
          tcp.reactor.arena.bytes.fill(guard, taskMemory, taskMemory + guarded);
          const read = tcp.itt(tcp.command({ readLength }));
          const write = tcp.itt(tcp.command({ writeLength: 20_000, offset: 10_000 }));
          const ping = tcp.itt(tcp.queue(0x00));
          tcp.reactor.run();
          const wire = { header: digests, data: digests };
          const stream = concat(
            targetPdu({ opcode: 0x25, flags: 0, itt: read }, pattern(3000), wire),
            targetPdu({ opcode: 0x31, itt: write, word20: 3, word44: 20_000 }, undefined, wire),
            targetPdu(
              { opcode: 0x25, flags: 0x81, itt: read, dataSn: 1, bufferOffset: 3000 },
              pattern(3000),
              wire,
            ),
            targetPdu({ opcode: 0x20, itt: ping }, pattern(5), wire),
            targetPdu({ opcode: 0x3f }, pattern(48), wire),
            targetPdu({ opcode: 0x21, itt: write }, pattern(20), wire),
          );
          const mutated = mutate(stream, changes);
          tcp.receive(mutated.slice(0, cut));
          if (tcp.events.ends.length === 0 && !tcp.peer.closed) tcp.receive(mutated.slice(cut));
          tcp.timers.advance(0);
          expectSound(tcp);
        }),
        { numRuns: 150 },
      );
    });
  }

  it('over iSER costs at most its own connection', () => {
    fc.assert(
      fc.property(fc.array(mutations, { maxLength: 5 }), fc.nat(8300), (all, truncated) => {
        const iser = new IserFixture(8).fullFeature();
        iser.reactor.arena.bytes.fill(guard, taskMemory, taskMemory + guarded);
        const read = iser.itt(iser.command({ readLength }));
        const ping = iser.itt(iser.queue(0x00));
        iser.reactor.run();
        const messages = [
          iserMessage({ opcode: 0x21, itt: read, flags: 0x82, word44: 12 }, pattern(20)),
          iserMessage({ opcode: 0x20, itt: ping }),
          iserMessage({ opcode: 0x32 }, pattern(100), 2),
          iserMessage({ opcode: 0x3f }, pattern(48)),
          new Uint8Array(Math.max(1, Math.min(truncated, 8268))).fill(0x10),
        ];
        all.forEach((changes, i) => {
          if (iser.transport.state === 'established') iser.receive(mutate(messages[i], changes));
        });
        iser.timers.advance(0);
        expectSound(iser);
      }),
      { numRuns: 300 },
    );
  });
});
