import { expect } from 'chai';
import fc from 'fast-check';
import { chunkLength } from '../../../../src/transport/tcp/receiver.ts';
import { taskMemory, TcpFixture } from '../../../helpers/tcp-fixture.ts';
import { concat, targetPdu } from '../../../helpers/target-pdus.ts';
import { pattern } from '../../../helpers/transport-fixture.ts';

const nopIn = targetPdu({ opcode: 0x20, statSn: 5 });

function expectRefused(tcp: TcpFixture, detail: string): void {
  const ended = tcp.ended();
  expect(ended?.end).to.equal('protocol-error');
  expect(ended?.detail).to.contain(detail);
  expect(tcp.reactor.violations).to.deep.equal([]);
}

describe('a TCP transport receiving', () => {
  it('delivers many PDUs of one wake-up, in order', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.peer.write(concat(nopIn, targetPdu({ opcode: 0x32 }, pattern(5)), nopIn));
    tcp.reactor.runTurn();
    expect(tcp.events.pdus.map(({ bhs }) => bhs[0])).to.deep.equal([0x20, 0x32, 0x20]);
    expect(tcp.events.pdus[1].data).to.deep.equal(pattern(5));
  });

  it('finds the slot by its tag and gives -1 for a PDU without one', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = tcp.queue(0x00);
    tcp.receive(targetPdu({ opcode: 0x20, itt: tcp.itt(pdu) }), nopIn);
    expect(tcp.events.pdus.map((seen) => seen.pdu)).to.deep.equal([pdu, -1]);
  });

  it('skips additional header segments', () => {
    const tcp = new TcpFixture().fullFeature({ headerDigest: true, dataDigest: true });
    const digests = { header: true, data: true };
    tcp.receive(targetPdu({ opcode: 0x32, ahsWords: 3 }, pattern(9), digests));
    expect(tcp.events.pdus[0].data).to.deep.equal(pattern(9));
  });

  it('takes a data segment as large as fits the chunk, and goes on behind it', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = tcp.queue(0x04);
    const text = pattern(chunkLength - 512);
    for (let i = 0; i < 3; i++) tcp.receive(nopIn);
    tcp.receive(targetPdu({ opcode: 0x24, itt: tcp.itt(pdu) }, text), nopIn);
    expect(tcp.events.pdus[3].data).to.deep.equal(text);
    expect(tcp.events.pdus).to.have.length(5);
  });

  it('gives the same events however the stream is cut', () => {
    const script = (digests: boolean) => {
      const tcp = new TcpFixture().fullFeature({ headerDigest: digests, dataDigest: digests });
      const wire = { header: digests, data: digests };
      const small = tcp.itt(tcp.command({ readLength: 700 }));
      const large = tcp.itt(tcp.command({ readLength: 90_001, offset: 65536 }));
      const ping = tcp.itt(tcp.queue(0x00));
      const data = pattern(90_001, 3);
      const parts = [
        targetPdu({ opcode: 0x25, flags: 0, itt: small }, pattern(300), wire),
        targetPdu({ opcode: 0x25, flags: 0x80, itt: large }, data.slice(0, 40_000), wire),
        targetPdu({ opcode: 0x20, itt: ping }, pattern(13), wire),
        targetPdu(
          { opcode: 0x25, flags: 0x81, itt: small, dataSn: 1, bufferOffset: 300 },
          pattern(400, 2),
          wire,
        ),
        targetPdu(
          { opcode: 0x25, flags: 0x80, itt: large, dataSn: 1, bufferOffset: 40_000 },
          data.slice(40_000),
          wire,
        ),
        targetPdu({ opcode: 0x21, itt: large }, pattern(20), wire),
        targetPdu({ opcode: 0x20, ahsWords: 2 }, undefined, wire),
      ];
      tcp.reactor.run();
      return { tcp, stream: concat(...parts) };
    };
    const outcome = (tcp: TcpFixture) => ({
      pdus: tcp.events.pdus,
      memory: Buffer.from(
        tcp.reactor.arena.bytes.slice(taskMemory, taskMemory + 65536 + 90_001),
      ).toString('base64'),
      violations: tcp.reactor.violations,
      ends: tcp.events.ends,
    });
    for (const digests of [false, true]) {
      const whole = script(digests);
      whole.tcp.receive(whole.stream);
      const expected = outcome(whole.tcp);
      expect(expected.pdus.map(({ placed }) => placed)).to.deep.equal([0, 700, 90_001, 0]);
      fc.assert(
        fc.property(
          fc.array(fc.oneof(fc.nat(60), fc.nat(30_000)), { maxLength: 40 }),
          fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 5000 })),
          (cuts, maximumChunk) => {
            const { tcp, stream } = script(digests);
            tcp.peer.maximumChunk = maximumChunk;
            let at = 0;
            for (const cut of cuts) {
              tcp.receive(stream.slice(at, at + cut));
              at += cut;
            }
            tcp.receive(stream.slice(at));
            expect(outcome(tcp)).to.deep.equal(expected);
          },
        ),
        { numRuns: 40 },
      );
    }
  });
});

describe('a slot over TCP', () => {
  it('may be queued again with the same tag once its answer is delivered', () => {
    const tcp = new TcpFixture().connect();
    const pdu = tcp.queue(0x03);
    const answer = targetPdu({ opcode: 0x23, itt: tcp.itt(pdu) });
    tcp.receive(answer);
    tcp.transport.queuePdu(pdu);
    tcp.receive(answer);
    expect(tcp.events.pdus.map((seen) => seen.pdu)).to.deep.equal([pdu, pdu]);
    tcp.receive(answer);
    expectRefused(tcp, 'belongs to no outstanding PDU');
  });

  it('that is rejected is reported only when its sends are with the kernel', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.peer.pauseReading();
    const pdu = tcp.command({ writeLength: 512, immediate: 512 });
    const bhs = tcp.transport.pdus.bhsOffset[pdu];
    tcp.receive(
      targetPdu({ opcode: 0x3f }, tcp.reactor.arena.bytes.slice(bhs, bhs + 48)),
      targetPdu({ opcode: 0x3f }, pattern(4)),
    );
    expect(tcp.events.pdus).to.deep.equal([]);
    tcp.peer.resumeReading();
    tcp.reactor.run();
    expect(tcp.events.pdus).to.have.length(2);
  });
});

describe('a TCP transport refuses', () => {
  it('a data segment longer than declared, before the data has come', () => {
    const tcp = new TcpFixture().fullFeature({ maxReceiveDataSegmentLength: 1024 });
    tcp.receive(targetPdu({ opcode: 0x32, dataSegmentLength: 1025 }));
    expectRefused(tcp, 'DataSegmentLength 1025 exceeds the declared limit of 1024');
  });

  it('a login response longer than 8192 bytes', () => {
    const tcp = new TcpFixture().connect();
    const itt = tcp.itt(tcp.queue(0x03));
    tcp.receive(targetPdu({ opcode: 0x23, itt, dataSegmentLength: 8193 }));
    expectRefused(tcp, 'declared limit of 8192');
  });

  it('a collected data segment that the chunk cannot hold', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.receive(targetPdu({ opcode: 0x32, dataSegmentLength: chunkLength }));
    expectRefused(tcp, `declared limit of ${chunkLength - 512}`);
  });

  it('more additional header segments than anybody needs', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.receive(targetPdu({ opcode: 0x20, ahsWords: 65 }));
    expectRefused(tcp, 'TotalAHSLength 260 exceeds the limit of 256');
  });

  it('an opcode that is not a target’s', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.receive(targetPdu({ opcode: 0x01 }));
    expectRefused(tcp, 'opcode 0x1 is not a target');
  });

  it('a full-feature PDU during login', () => {
    const tcp = new TcpFixture().connect();
    tcp.receive(nopIn);
    expectRefused(tcp, 'opcode 0x20 in the login phase');
  });

  it('a login response after login', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.receive(targetPdu({ opcode: 0x23, itt: 1 }));
    expectRefused(tcp, 'opcode 0x23 in the full feature phase');
  });

  it('a tag that was never given out', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.receive(targetPdu({ opcode: 0x21, itt: 0x1234 }));
    expectRefused(tcp, 'InitiatorTaskTag 0x1234 belongs to no outstanding PDU');
  });

  it('a late answer to a slot that has been freed and is in use again', () => {
    const tcp = new TcpFixture(1).fullFeature();
    const pdu = tcp.command({ readLength: 512 });
    const late = tcp.itt(pdu);
    tcp.reactor.run();
    tcp.transport.freePdu(pdu);
    expect(tcp.command({ readLength: 512 })).to.equal(pdu);
    tcp.receive(targetPdu({ opcode: 0x21, itt: late }));
    expectRefused(tcp, 'belongs to no outstanding PDU');
  });

  it('an answer to a slot that the session has freed, even while its send is under way', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.peer.pauseReading();
    const pdu = tcp.queue(0x00);
    tcp.transport.freePdu(pdu);
    tcp.receive(targetPdu({ opcode: 0x20, itt: tcp.itt(pdu) }));
    expectRefused(tcp, 'belongs to no outstanding PDU');
  });

  it('an answer of another kind than the request', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = tcp.queue(0x00);
    tcp.receive(targetPdu({ opcode: 0x21, itt: tcp.itt(pdu) }));
    expectRefused(tcp, 'belongs to a PDU with opcode 0x0, the answer is for 0x1');
  });

  for (const [opcode, request] of [
    [0x22, 0x02],
    [0x24, 0x04],
    [0x26, 0x06],
  ] as const) {
    it(`nothing about opcode 0x${opcode.toString(16)} as the answer to 0x${request}`, () => {
      const tcp = new TcpFixture().fullFeature();
      const pdu = tcp.queue(request);
      tcp.receive(targetPdu({ opcode, itt: tcp.itt(pdu) }));
      expect(tcp.events.pdus.map((seen) => seen.pdu)).to.deep.equal([pdu]);
    });
  }

  it('a header whose digest is wrong, with its own reason', () => {
    const tcp = new TcpFixture().fullFeature({ headerDigest: true });
    const bytes = targetPdu({ opcode: 0x20 }, undefined, { header: true });
    bytes[9] ^= 1;
    tcp.receive(bytes);
    expect(tcp.ended()?.end).to.equal('header-digest-error');
    expect(tcp.events.pdus).to.deep.equal([]);
  });

  it('a data segment whose digest is wrong, with its own reason', () => {
    const tcp = new TcpFixture().fullFeature({ dataDigest: true });
    const bytes = targetPdu({ opcode: 0x32 }, pattern(10), { data: true });
    bytes[50] ^= 1;
    tcp.receive(bytes);
    expect(tcp.ended()?.end).to.equal('data-digest-error');
    expect(tcp.events.pdus).to.deep.equal([]);
  });

  for (const length of [100, 40_000]) {
    it(`a Data-In of ${length} bytes whose digest is wrong, and reports no status of it`, () => {
      const tcp = new TcpFixture().fullFeature({ dataDigest: true });
      const itt = tcp.itt(tcp.command({ readLength: length }));
      const bytes = targetPdu({ opcode: 0x25, flags: 0x81, itt }, pattern(length), { data: true });
      bytes[48 + length - 1] ^= 0x80;
      tcp.receive(bytes);
      expect(tcp.ended()?.end).to.equal('data-digest-error');
      expect(tcp.events.pdus).to.deep.equal([]);
    });
  }

  it('a padding byte that the data digest does not cover as sent', () => {
    const tcp = new TcpFixture().fullFeature({ dataDigest: true });
    const bytes = targetPdu({ opcode: 0x32 }, pattern(10), { data: true });
    bytes[58] ^= 1;
    tcp.receive(bytes);
    expect(tcp.ended()?.end).to.equal('data-digest-error');
  });
});
