import { expect } from 'chai';
import type { BhsFields, InitiatorPdu } from '../../../helpers/target-pdus.ts';
import { concat, targetPdu } from '../../../helpers/target-pdus.ts';
import { type CommandData, taskMemory, TcpFixture } from '../../../helpers/tcp-fixture.ts';
import { pattern } from '../../../helpers/transport-fixture.ts';

function r2t(tcp: TcpFixture, pdu: number, fields: Partial<BhsFields> = {}): Uint8Array {
  const itt = tcp.itt(pdu);
  return targetPdu({ opcode: 0x31, itt, word20: 0x77, word44: 4096, ...fields });
}

function write(tcp: TcpFixture, data: CommandData & { writeLength: number }): number {
  tcp.reactor.arena.bytes.set(pattern(data.writeLength), taskMemory + (data.offset ?? 0));
  return tcp.command(data);
}

function dataOuts(pdus: readonly InitiatorPdu[]) {
  return pdus
    .filter(({ opcode }) => opcode === 0x05)
    .map(({ word20, dataSn, bufferOffset, data, flags }) => ({
      ttt: word20,
      dataSn,
      bufferOffset,
      length: data.length,
      final: flags === 0x80,
    }));
}

describe('a TCP transport sending', () => {
  it('writes DataSegmentLength and pads the data segment with zeroes', () => {
    const tcp = new TcpFixture().connect();
    tcp.reactor.arena.bytes.set(pattern(7), taskMemory);
    tcp.queue(0x03, { offset: taskMemory, length: 7 });
    tcp.reactor.run();
    const bytes = tcp.peer.take();
    expect(bytes).to.have.length(48 + 8);
    expect([...bytes.slice(4, 8)]).to.deep.equal([0, 0, 0, 7]);
    expect(bytes.slice(48)).to.deep.equal(concat(pattern(7), Uint8Array.of(0)));
  });

  it('hands over header and unpadded data in one submission', () => {
    const tcp = new TcpFixture().fullFeature();
    let sends = 0;
    const send = tcp.reactor.send.bind(tcp.reactor);
    tcp.reactor.send = (...args) => {
      sends++;
      send(...args);
    };
    write(tcp, { writeLength: 4096, immediate: 4096 });
    expect(sends).to.equal(1);
  });

  it('adds digests from the full feature phase on, not before', () => {
    const login = new TcpFixture().connect();
    const request = { offset: taskMemory, length: 5 };
    login.queue(0x03, request);
    login.transport.prepareFullFeature();
    login.queue(0x03, request);
    expect(login.sent()).to.have.length(2);

    const full = new TcpFixture().fullFeature({ headerDigest: true, dataDigest: true });
    full.reactor.arena.bytes.set(pattern(6), taskMemory);
    full.queue(0x04, { offset: taskMemory, length: 6 });
    full.queue(0x00);
    const [text, nop] = full.sent();
    expect([text.headerDigestOk, text.dataDigestOk, nop.headerDigestOk]).to.deep.equal([
      true,
      true,
      true,
    ]);
    expect(text.data).to.deep.equal(pattern(6));
  });

  it('gathers immediate data from where it lies', () => {
    const tcp = new TcpFixture().fullFeature();
    write(tcp, { writeLength: 8192, immediate: 8192 });
    const [command] = tcp.sent();
    expect(command.data).to.deep.equal(pattern(8192));
    expect(command.flags & 0x80).to.equal(0x80);
  });
});

describe('R2T over TCP', () => {
  it('is answered with Data-Out in segments the target takes, F on the last', () => {
    const tcp = new TcpFixture().fullFeature({ maxSendDataSegmentLength: 4096 });
    const pdu = write(tcp, { writeLength: 20_000 });
    tcp.sent();
    tcp.receive(r2t(tcp, pdu, { bufferOffset: 1000, word44: 9000 }));
    const sent = tcp.sent();
    expect(dataOuts(sent)).to.deep.equal([
      { ttt: 0x77, dataSn: 0, bufferOffset: 1000, length: 4096, final: false },
      { ttt: 0x77, dataSn: 1, bufferOffset: 5096, length: 4096, final: false },
      { ttt: 0x77, dataSn: 2, bufferOffset: 9192, length: 808, final: true },
    ]);
    const data = concat(...sent.map((part) => part.data));
    expect(data).to.deep.equal(pattern(20_000).slice(1000, 10_000));
    expect(tcp.events.pdus).to.deep.equal([]);
  });

  it('Data-Out bears the command’s LUN and tag and the latest ExpStatSN', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = write(tcp, { writeLength: 4096 });
    tcp.sent();
    tcp.receive(r2t(tcp, pdu));
    const [out] = tcp.sent();
    expect([...out.lun]).to.deep.equal([0, 5, 0, 0, 0, 0, 0, 0]);
    expect([out.itt, out.expStatSn]).to.deep.equal([tcp.itt(pdu), 77]);
  });

  it('serves several outstanding R2Ts in the order in which they came', () => {
    const tcp = new TcpFixture().fullFeature({ maxOutstandingR2t: 2 });
    const pdu = write(tcp, { writeLength: 16_384 });
    tcp.sent();
    tcp.receive(
      concat(
        r2t(tcp, pdu, { word20: 1, bufferOffset: 8192, word44: 8192 }),
        r2t(tcp, pdu, { word20: 2, bufferOffset: 0, word44: 8192, dataSn: 1 }),
      ),
    );
    expect(dataOuts(tcp.sent()).map(({ ttt, bufferOffset }) => [ttt, bufferOffset])).to.deep.equal([
      [1, 8192],
      [2, 0],
    ]);
  });

  it('keeps a bounded amount of Data-Out with the kernel and goes on as it drains', () => {
    const tcp = new TcpFixture().fullFeature({ maxSendDataSegmentLength: 512 });
    const pdu = write(tcp, { writeLength: 262_144 });
    tcp.sent();
    let submitted = 0;
    const send = tcp.reactor.send.bind(tcp.reactor);
    tcp.reactor.send = (...args) => {
      submitted++;
      send(...args);
    };
    tcp.peer.pauseReading();
    tcp.receive(r2t(tcp, pdu, { word44: 262_144 }));
    expect(submitted).to.equal(64);
    tcp.peer.resumeReading();
    const data = concat(...tcp.sent().map((part) => part.data));
    expect(data).to.deep.equal(pattern(262_144));
    expect(tcp.reactor.violations).to.deep.equal([]);
  });

  it('Data-Out has digests and padding like any other PDU', () => {
    const tcp = new TcpFixture().fullFeature({ headerDigest: true, dataDigest: true });
    const pdu = write(tcp, { writeLength: 513 });
    tcp.sent();
    const fields = { opcode: 0x31, itt: tcp.itt(pdu), word20: 1, word44: 513 };
    tcp.receive(targetPdu(fields, undefined, { header: true }));
    const [out] = tcp.sent();
    expect([out.headerDigestOk, out.dataDigestOk, out.data.length]).to.deep.equal([
      true,
      true,
      513,
    ]);
  });

  it('stops when the session frees the aborted PDU, and what is behind it goes on', () => {
    const tcp = new TcpFixture().fullFeature({ maxSendDataSegmentLength: 512 });
    const aborted = write(tcp, { writeLength: 65_536 });
    const other = write(tcp, { writeLength: 512, offset: 131_072 });
    tcp.sent();
    tcp.peer.pauseReading();
    tcp.receive(concat(r2t(tcp, aborted, { word44: 65_536 }), r2t(tcp, other, { word44: 512 })));
    const abort = targetPdu({ opcode: 0x22, itt: tcp.itt(tcp.queue(0x02)) });
    tcp.events.hooks.onPdu = () => {
      tcp.transport.freePdu(aborted);
    };
    tcp.receive(abort);
    tcp.peer.resumeReading();
    const sent = tcp.sent();
    expect(sent.filter(({ itt }) => itt === tcp.itt(aborted))).to.have.length(64);
    expect(sent.filter(({ itt }) => itt === tcp.itt(other))).to.have.length(1);
  });

  it('of a slot that the session frees without an answer costs the connection, not the memory', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = write(tcp, { writeLength: 4096 });
    tcp.sent();
    tcp.peer.pauseReading();
    tcp.receive(r2t(tcp, pdu));
    tcp.transport.freePdu(pdu);
    expect(tcp.peer.closed).to.equal(true);
    expect(tcp.ended()?.end).to.equal('internal-error');
  });

  const refusals: readonly [string, Partial<BhsFields>, string][] = [
    [
      'beyond the expected transfer length',
      { bufferOffset: 12_289, word44: 4096 },
      'BufferOffset 12289 + DesiredDataTransferLength 4096 of an R2T exceed the expected transfer of 16384',
    ],
    ['of nothing', { word44: 0 }, 'DesiredDataTransferLength 0'],
    ['above MaxBurstLength', { word44: 8193 }, 'MaxBurstLength 8192'],
    ['out of R2TSN order', { dataSn: 1 }, 'R2TSN 1, expected 0'],
    ['without a target transfer tag', { word20: 0xffffffff }, 'without a TargetTransferTag'],
  ];
  for (const [what, fields, detail] of refusals) {
    it(`is refused when it asks ${what}`, () => {
      const tcp = new TcpFixture().fullFeature({ maxBurstLength: 8192 });
      const pdu = write(tcp, { writeLength: 16_384 });
      tcp.sent();
      tcp.receive(r2t(tcp, pdu, fields));
      const ended = tcp.ended();
      expect(ended?.end).to.equal('protocol-error');
      expect(ended?.detail).to.contain(detail);
      expect(dataOuts(tcp.sent())).to.deep.equal([]);
    });
  }

  it('is refused for a read, with a data segment, and beyond MaxOutstandingR2T', () => {
    const read = new TcpFixture().fullFeature();
    read.receive(r2t(read, read.command({ readLength: 512 })));
    expect(read.ended()?.detail).to.contain('writes nothing');

    const segment = new TcpFixture().fullFeature();
    const pdu = write(segment, { writeLength: 4096 });
    segment.receive(
      targetPdu({ opcode: 0x31, itt: segment.itt(pdu), word20: 1, word44: 512 }, pattern(4)),
    );
    expect(segment.ended()?.detail).to.contain('data segment of 4 bytes');

    const many = new TcpFixture().fullFeature({ maxSendDataSegmentLength: 512 });
    const big = write(many, { writeLength: 131_072 });
    many.sent();
    many.peer.pauseReading();
    many.receive(
      concat(r2t(many, big, { word44: 65_536 }), r2t(many, big, { word44: 512, dataSn: 1 })),
    );
    expect(many.ended()?.detail).to.contain('MaxOutstandingR2T 1');
  });
});

describe('unsolicited data over TCP', () => {
  it('follows the immediate data up to FirstBurstLength when InitialR2T is No', () => {
    const tcp = new TcpFixture().fullFeature({ initialR2t: false, firstBurstLength: 20_000 });
    write(tcp, { writeLength: 100_000, immediate: 8192 });
    const sent = tcp.sent();
    expect(sent[0].flags & 0x80).to.equal(0);
    expect(dataOuts(sent)).to.deep.equal([
      { ttt: 0xffffffff, dataSn: 0, bufferOffset: 8192, length: 8192, final: false },
      { ttt: 0xffffffff, dataSn: 1, bufferOffset: 16_384, length: 3616, final: true },
    ]);
    expect([...sent[1].lun]).to.deep.equal([0, 0, 0, 0, 0, 0, 0, 0]);
    expect(concat(...sent.map((part) => part.data))).to.deep.equal(
      pattern(100_000).slice(0, 20_000),
    );
  });

  it('keeps the order of the commands', () => {
    const tcp = new TcpFixture().fullFeature({ initialR2t: false });
    const first = write(tcp, { writeLength: 16_384 });
    const second = write(tcp, { writeLength: 8192, offset: 32_768 });
    const order = tcp.sent().map(({ opcode, itt }) => [opcode, itt]);
    expect(order).to.deep.equal([
      [0x01, tcp.itt(first)],
      [0x05, tcp.itt(first)],
      [0x05, tcp.itt(first)],
      [0x01, tcp.itt(second)],
      [0x05, tcp.itt(second)],
    ]);
  });

  it('is none when everything went as immediate data, and F stays set', () => {
    const tcp = new TcpFixture().fullFeature({ initialR2t: false });
    write(tcp, { writeLength: 4096, immediate: 4096 });
    const sent = tcp.sent();
    expect([sent.length, sent[0].flags & 0x80]).to.deep.equal([1, 0x80]);
  });

  it('is none when InitialR2T is Yes', () => {
    const tcp = new TcpFixture().fullFeature();
    write(tcp, { writeLength: 16_384, immediate: 8192 });
    const sent = tcp.sent();
    expect([sent.length, sent[0].flags & 0x80]).to.deep.equal([1, 0x80]);
  });
});

describe('an answer over TCP that overtakes its sends', () => {
  it('is delivered only when the Data-Out under way is with the kernel; the rest is not sent', () => {
    const tcp = new TcpFixture().fullFeature({ maxSendDataSegmentLength: 512 });
    const pdu = write(tcp, { writeLength: 65_536 });
    tcp.sent();
    tcp.peer.pauseReading();
    tcp.receive(
      r2t(tcp, pdu, { word44: 65_536 }),
      targetPdu({ opcode: 0x21, itt: tcp.itt(pdu), status: 2 }),
      targetPdu({ opcode: 0x20 }),
    );
    expect(tcp.events.pdus).to.deep.equal([]);
    tcp.peer.resumeReading();
    expect(dataOuts(tcp.sent())).to.have.length(64);
    expect(tcp.events.pdus.map(({ bhs }) => bhs[0])).to.deep.equal([0x21, 0x20]);
    expect(tcp.reactor.violations).to.deep.equal([]);
  });

  it('with status in Data-In waits in the same way', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.peer.pauseReading();
    const pdu = tcp.command({ readLength: 512 });
    tcp.receive(targetPdu({ opcode: 0x25, flags: 0x81, itt: tcp.itt(pdu) }, pattern(512)));
    expect(tcp.events.pdus).to.deep.equal([]);
    tcp.peer.resumeReading();
    tcp.reactor.run();
    expect(tcp.events.pdus.map((seen) => seen.placed)).to.deep.equal([512]);
  });

  it('and is malformed ends the connection when its turn comes', () => {
    const tcp = new TcpFixture().fullFeature({ dataDigest: true });
    tcp.peer.pauseReading();
    const pdu = tcp.queue(0x00);
    const bytes = targetPdu({ opcode: 0x20, itt: tcp.itt(pdu) }, pattern(4), { data: true });
    bytes[48] ^= 1;
    tcp.receive(bytes);
    expect(tcp.events.ends).to.deep.equal([]);
    tcp.peer.resumeReading();
    tcp.reactor.run();
    expect(tcp.ended()?.end).to.equal('data-digest-error');
  });

  it('of task management waits for all Data-Out, and none is begun meanwhile', () => {
    const tcp = new TcpFixture().fullFeature({ maxSendDataSegmentLength: 512 });
    const pdu = write(tcp, { writeLength: 65_536 });
    const abort = tcp.queue(0x02);
    tcp.sent();
    tcp.peer.pauseReading();
    tcp.receive(
      r2t(tcp, pdu, { word44: 65_536 }),
      targetPdu({ opcode: 0x22, itt: tcp.itt(abort) }),
    );
    tcp.events.hooks.onPdu = () => {
      tcp.transport.freePdu(pdu);
    };
    expect(tcp.events.pdus).to.deep.equal([]);
    tcp.peer.resumeReading();
    expect(dataOuts(tcp.sent())).to.have.length(64);
    expect(tcp.events.pdus.map((seen) => seen.pdu)).to.deep.equal([abort]);
  });

  it('of task management keeps unsolicited data of new commands back, too', () => {
    const tcp = new TcpFixture().fullFeature({ initialR2t: false });
    const abort = tcp.queue(0x02);
    tcp.sent();
    tcp.peer.pauseReading();
    write(tcp, { writeLength: 4096 });
    tcp.receive(targetPdu({ opcode: 0x22, itt: tcp.itt(abort) }));
    let submitted = 0;
    const send = tcp.reactor.send.bind(tcp.reactor);
    tcp.reactor.send = (...args) => {
      submitted++;
      send(...args);
    };
    write(tcp, { writeLength: 4096, offset: 8192 });
    expect(submitted).to.equal(1);
    tcp.peer.resumeReading();
    expect(dataOuts(tcp.sent())).to.have.length(2);
    expect(tcp.events.pdus.map((seen) => seen.pdu)).to.deep.equal([abort]);
  });
});
