import { expect } from 'chai';
import type { BhsFields } from '../../../helpers/target-pdus.ts';
import { targetPdu } from '../../../helpers/target-pdus.ts';
import { taskMemory, TcpFixture } from '../../../helpers/tcp-fixture.ts';
import { pattern } from '../../../helpers/transport-fixture.ts';

function placed(tcp: TcpFixture, length: number): Uint8Array {
  return tcp.reactor.arena.bytes.slice(taskMemory, taskMemory + length);
}

describe('Data-In over TCP', () => {
  it('is placed at its buffer offset, small and large pieces alike, and is not itself reported', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = tcp.command({ readLength: 70_000 });
    const itt = tcp.itt(pdu);
    const data = pattern(70_000);
    tcp.receive(
      targetPdu({ opcode: 0x25, flags: 0, itt }, data.slice(0, 4000)),
      targetPdu(
        { opcode: 0x25, flags: 0x80, itt, dataSn: 1, bufferOffset: 4000 },
        data.slice(4000),
      ),
    );
    expect(tcp.events.pdus).to.deep.equal([]);
    tcp.receive(targetPdu({ opcode: 0x21, itt }));
    expect(tcp.events.pdus.map((seen) => [seen.pdu, seen.placed])).to.deep.equal([[pdu, 70_000]]);
    expect(placed(tcp, 70_000)).to.deep.equal(data);
  });

  it('counts as heard, though nobody is told of it', () => {
    const tcp = new TcpFixture().fullFeature();
    const itt = tcp.itt(tcp.command({ readLength: 512 }));
    const before = tcp.transport.heard;
    tcp.receive(targetPdu({ opcode: 0x25, flags: 0, itt }, pattern(100)));
    expect(tcp.transport.heard).to.be.greaterThan(before);
    expect(tcp.events.pdus).to.deep.equal([]);
  });

  it('with the S bit is reported after its data is in place, without a data segment', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = tcp.command({ readLength: 512 });
    let memory: Uint8Array | undefined;
    tcp.events.hooks.onPdu = () => {
      memory = placed(tcp, 512);
    };
    const fields = { opcode: 0x25, flags: 0x81, itt: tcp.itt(pdu), status: 2, statSn: 9 };
    tcp.receive(targetPdu(fields, pattern(512)));
    expect(memory).to.deep.equal(pattern(512));
    const [seen] = tcp.events.pdus;
    expect([seen.pdu, seen.bhs[3], seen.bhs[27], seen.data.length]).to.deep.equal([pdu, 2, 9, 0]);
  });

  it('may be empty and only bear the status', () => {
    const tcp = new TcpFixture().fullFeature({ dataDigest: true });
    const itt = tcp.itt(tcp.command({ readLength: 512 }));
    tcp.receive(targetPdu({ opcode: 0x25, flags: 0x83, itt, word44: 512 }));
    expect(tcp.events.pdus.map((seen) => seen.placed)).to.deep.equal([0]);
  });

  it('counts only what came, whatever the command expected', () => {
    const tcp = new TcpFixture().fullFeature();
    const itt = tcp.itt(tcp.command({ readLength: 4096 }));
    tcp.receive(
      targetPdu({ opcode: 0x25, flags: 0x80, itt }, pattern(96)),
      targetPdu({ opcode: 0x21, itt }),
    );
    expect(tcp.events.pdus[0].placed).to.equal(96);
  });

  it('is cut back by the residual count of the response', () => {
    const tcp = new TcpFixture().fullFeature();
    const itt = tcp.itt(tcp.command({ readLength: 255 }));
    tcp.receive(
      targetPdu({ opcode: 0x25, flags: 0x80, itt }, pattern(255)),
      targetPdu({ opcode: 0x21, flags: 0x82, itt, word44: 159 }),
    );
    expect(tcp.events.pdus[0].placed).to.equal(96);
  });

  it('large payloads do not pass through the chunk', () => {
    const tcp = new TcpFixture().fullFeature();
    const itt = tcp.itt(tcp.command({ readLength: 262_144 }));
    const lengths: number[] = [];
    const receive = tcp.reactor.receive.bind(tcp.reactor);
    tcp.reactor.receive = (stream, offset, minimum, maximum) => {
      if (offset >= taskMemory) lengths.push(maximum);
      receive(stream, offset, minimum, maximum);
    };
    const pdu = targetPdu({ opcode: 0x25, flags: 0x81, itt }, pattern(262_144));
    tcp.receive(pdu.slice(0, 48));
    tcp.receive(pdu.slice(48));
    expect(lengths).to.deep.equal([262_144]);
    expect(tcp.events.pdus[0].placed).to.equal(262_144);
  });

  it('after a large payload takes only little of the next one into the chunk, until a small PDU comes', () => {
    const tcp = new TcpFixture().fullFeature();
    const itt = tcp.itt(tcp.command({ readLength: 65_536 }));
    const chunkReceives: number[] = [];
    const receive = tcp.reactor.receive.bind(tcp.reactor);
    tcp.reactor.receive = (stream, offset, minimum, maximum) => {
      if (offset < taskMemory) chunkReceives.push(maximum);
      receive(stream, offset, minimum, maximum);
    };
    tcp.receive(targetPdu({ opcode: 0x25, flags: 0x81, itt }, pattern(65_536)));
    expect(chunkReceives.at(-1)).to.equal(4096);
    tcp.receive(targetPdu({ opcode: 0x20 }));
    expect(chunkReceives.at(-1)).to.equal(65_536);
  });

  it('ends the connection when the session frees the PDU under the data', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = tcp.command({ readLength: 65_536 });
    const bytes = targetPdu({ opcode: 0x25, itt: tcp.itt(pdu) }, pattern(65_536));
    tcp.receive(bytes.slice(0, 1000));
    tcp.transport.freePdu(pdu);
    expect(tcp.peer.closed).to.equal(true);
    expect(tcp.ended()?.end).to.equal('internal-error');
    expect(tcp.reactor.leaks()).to.deep.equal([]);
  });
});

describe('Data-In over TCP is refused', () => {
  const cases: readonly {
    readonly what: string;
    readonly readLength?: number;
    readonly fields: Partial<BhsFields>;
    readonly length: number;
    readonly detail: string;
  }[] = [
    {
      what: 'for a command that reads nothing',
      readLength: 0,
      fields: {},
      length: 4,
      detail: 'Data-In for a command that reads nothing',
    },
    {
      what: 'beyond the expected transfer length',
      fields: {},
      length: 1025,
      detail:
        'BufferOffset 0 + DataSegmentLength 1025 of a Data-In exceed the expected transfer of 1024',
    },
    {
      what: 'with a buffer offset that wraps around',
      fields: { bufferOffset: 0xfffffff0 },
      length: 32,
      detail: 'BufferOffset 4294967280',
    },
    { what: 'with a gap', fields: { bufferOffset: 512 }, length: 512, detail: 'expected 0' },
    { what: 'out of DataSN order', fields: { dataSn: 1 }, length: 512, detail: 'DataSN 1' },
    {
      what: 'with status but not final',
      fields: { flags: 0x01 },
      length: 512,
      detail: 'S bit but without the F bit',
    },
    {
      what: 'with a residual above the expected length',
      fields: { flags: 0x83, word44: 1025 },
      length: 512,
      detail: 'ResidualCount 1025',
    },
  ];
  for (const { what, readLength, fields, length, detail } of cases) {
    it(what, () => {
      const tcp = new TcpFixture().fullFeature();
      tcp.reactor.arena.bytes.fill(0x55, taskMemory, taskMemory + 4096);
      const pdu = tcp.command({ readLength: readLength ?? 1024 });
      tcp.receive(targetPdu({ opcode: 0x25, itt: tcp.itt(pdu), ...fields }, pattern(length)));
      const ended = tcp.ended();
      expect(ended?.end).to.equal('protocol-error');
      expect(ended?.detail).to.contain(detail);
      expect(tcp.events.pdus).to.deep.equal([]);
      const beyond = tcp.reactor.arena.bytes.slice(taskMemory + 1024, taskMemory + 4096);
      expect(beyond.every((byte) => byte === 0x55)).to.equal(true);
    });
  }

  it('when it repeats bytes that are in place', () => {
    const tcp = new TcpFixture().fullFeature();
    const itt = tcp.itt(tcp.command({ readLength: 1024 }));
    tcp.receive(
      targetPdu({ opcode: 0x25, flags: 0, itt }, pattern(512)),
      targetPdu({ opcode: 0x25, flags: 0, itt, dataSn: 1 }, pattern(512)),
    );
    expect(tcp.ended()?.detail).to.contain('BufferOffset 0 of a Data-In, expected 512');
  });
});
