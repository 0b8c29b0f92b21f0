import { expect } from 'chai';
import { FakeAccessError } from '../../../../src/reactor/fake-reactor.ts';
import { createTransport } from '../../../../src/transport/create.ts';
import { IserFixture, type IserRequest } from '../../../helpers/iser-fixture.ts';
import { iserMessage } from '../../../helpers/target-pdus.ts';
import { taskMemory } from '../../../helpers/tcp-fixture.ts';
import { defaultParameters, pattern } from '../../../helpers/transport-fixture.ts';

function response(iser: IserFixture, pdu: number, flags = 0x80, residual = 0): Uint8Array {
  return iserMessage({ opcode: 0x21, flags, itt: iser.itt(pdu), word44: residual });
}

function one(iser: IserFixture): IserRequest {
  const requests = iser.sent();
  expect(requests).to.have.length(1);
  return requests[0];
}

describe('receives of an iSER transport', () => {
  it('are all posted before the request that asks for the full feature phase', () => {
    const iser = new IserFixture(16).connect();
    iser.transport.prepareFullFeature({ ...defaultParameters, queueDepth: 4 });
    expect(iser.peer.postedReceives).to.equal(4 + 8 + 4);
  });

  it('are enough for every PDU slot and what comes unasked, never more', () => {
    const iser = new IserFixture(16).connect();
    iser.transport.prepareFullFeature({ ...defaultParameters, queueDepth: 256 });
    expect(iser.peer.postedReceives).to.equal(16 + 4);
  });

  it('are posted again once the session has seen the PDU', () => {
    const iser = new IserFixture().fullFeature();
    const posted = iser.peer.postedReceives;
    for (let i = 0; i < 50; i++) iser.receive(iserMessage({ opcode: 0x20 }));
    expect(iser.events.pdus).to.have.length(50);
    expect(iser.peer.postedReceives).to.equal(posted);
    expect(iser.peer.receiverNotReady).to.equal(0);
  });

  it('leave one posted while the session handles a login response', () => {
    const iser = new IserFixture().connect();
    let posted = 0;
    iser.events.hooks.onPdu = () => {
      posted = iser.peer.postedReceives;
    };
    const pdu = iser.queue(0x03);
    iser.reactor.run();
    const text = pattern(8192);
    iser.receive(iserMessage({ opcode: 0x23, itt: iser.itt(pdu) }, text));
    expect(iser.events.pdus[0].data).to.deep.equal(text);
    expect(posted).to.equal(1);
  });
});

describe('SCSI Read over iSER', () => {
  it('advertises exactly the read buffer, and nothing else', () => {
    const iser = new IserFixture().fullFeature();
    iser.command({ readLength: 4096 });
    const request = one(iser);
    expect(request.flags).to.equal(0x14);
    expect(request.readAddress).to.equal(iser.reactor.arena.base + BigInt(taskMemory));
    expect([request.writeStag, request.writeAddress]).to.deep.equal([0, 0n]);
    iser.peer.rdmaWrite(request.readStag, request.readAddress, pattern(4096));
    expect(() => {
      iser.peer.rdmaWrite(request.readStag, request.readAddress, pattern(4097));
    }).to.throw(FakeAccessError);
    expect(() => iser.peer.rdmaRead(request.readStag, request.readAddress, 1)).to.throw(
      FakeAccessError,
    );
    const memory = iser.reactor.arena.bytes.slice(taskMemory, taskMemory + 4096);
    expect(memory).to.deep.equal(pattern(4096));
  });

  for (const [flags, residual, placed] of [
    [0x80, 0, 4096],
    [0x82, 4000, 96],
    [0x82, 4096, 0],
    [0x84, 512, 4096],
  ] as const) {
    it(`reports ${placed} bytes for flags 0x${flags.toString(16)} and residual ${residual}`, () => {
      const iser = new IserFixture().fullFeature();
      const pdu = iser.command({ readLength: 4096 });
      iser.reactor.run();
      iser.receive(response(iser, pdu, flags, residual));
      expect(iser.events.pdus.map((seen) => seen.placed)).to.deep.equal([placed]);
      expect(iser.strategy.released).to.deep.equal([{ offset: taskMemory, writtenLength: placed }]);
    });
  }

  it('refuses a residual above the expected length', () => {
    const iser = new IserFixture().fullFeature();
    const pdu = iser.command({ readLength: 4096 });
    iser.reactor.run();
    iser.receive(response(iser, pdu, 0x82, 4097));
    expect(iser.ended()?.detail).to.contain('ResidualCount 4097');
  });

  it('has copied data in place when the response is delivered', () => {
    const iser = new IserFixture().fullFeature();
    iser.strategy.shift = 1024 * 1024;
    const pdu = iser.command({ readLength: 512 });
    const request = one(iser);
    iser.peer.rdmaWrite(request.readStag, request.readAddress, pattern(512));
    let memory: Uint8Array | undefined;
    iser.events.hooks.onPdu = () => {
      memory = iser.reactor.arena.bytes.slice(taskMemory, taskMemory + 512);
    };
    iser.receive(response(iser, pdu));
    expect(memory).to.deep.equal(pattern(512));
  });

  it('cannot reach the buffer any more once its response is delivered', () => {
    const iser = new IserFixture().fullFeature();
    const pdu = iser.command({ readLength: 512 });
    const request = one(iser);
    iser.receive(response(iser, pdu));
    expect(() => {
      iser.peer.rdmaWrite(request.readStag, request.readAddress, pattern(1));
    }).to.throw(FakeAccessError);
  });
});

describe('SCSI Write over iSER', () => {
  for (const [writeLength, immediate] of [
    [512, 0],
    [65_536, 0],
    [16_384, 8192],
  ] as const) {
    it(`of ${writeLength} bytes with ${immediate} immediate advertises what is solicited`, () => {
      const iser = new IserFixture().fullFeature();
      iser.reactor.arena.bytes.set(pattern(writeLength), taskMemory);
      iser.command({ writeLength, immediate });
      const request = one(iser);
      expect(request.flags).to.equal(0x18);
      expect(request.dataSegmentLength).to.equal(immediate);
      expect(request.data).to.deep.equal(pattern(writeLength).slice(0, immediate));
      expect(request.writeAddress).to.equal(
        iser.reactor.arena.base + BigInt(taskMemory + immediate),
      );
      const rest = writeLength - immediate;
      const solicited = iser.peer.rdmaRead(request.writeStag, request.writeAddress, rest);
      expect(solicited).to.deep.equal(pattern(writeLength).slice(immediate));
      expect(() => iser.peer.rdmaRead(request.writeStag, request.writeAddress, rest + 1)).to.throw(
        FakeAccessError,
      );
    });
  }

  it('that is all immediate advertises nothing', () => {
    const iser = new IserFixture().fullFeature();
    iser.reactor.arena.bytes.set(pattern(8192), taskMemory);
    iser.command({ writeLength: 8192, immediate: 8192 });
    const request = one(iser);
    expect([request.flags, request.writeStag, request.writeAddress]).to.deep.equal([0x10, 0, 0n]);
    expect(request.data).to.deep.equal(pattern(8192));
  });

  it('sends immediate data from where the device finds it', () => {
    const iser = new IserFixture().fullFeature();
    iser.strategy.shift = 1024 * 1024;
    iser.reactor.arena.bytes.set(pattern(1000), taskMemory);
    iser.command({ writeLength: 1000, immediate: 500 });
    const request = one(iser);
    expect(request.data).to.deep.equal(pattern(1000).slice(0, 500));
    expect(request.writeAddress).to.equal(
      iser.reactor.arena.base + BigInt(taskMemory + 1024 * 1024 + 500),
    );
  });

  it('treats immediate data that is not the start of the write data as our bug', () => {
    const iser = new IserFixture().fullFeature();
    const { pdus } = iser.transport;
    const pdu = iser.transport.newPdu();
    iser.reactor.arena.bytes[pdus.bhsOffset[pdu]] = 0x01;
    pdus.writeOffset[pdu] = taskMemory;
    pdus.writeLength[pdu] = 512;
    pdus.dataSegmentOffset[pdu] = taskMemory + 8;
    pdus.dataSegmentLength[pdu] = 100;
    expect(() => {
      iser.transport.queuePdu(pdu);
    }).to.throw('immediate data is the start of the write data');
  });
});

describe('other PDUs over iSER', () => {
  it('have an empty iSER header, and their data segment is sent as it is', () => {
    const iser = new IserFixture().fullFeature();
    iser.reactor.arena.bytes.set(pattern(13), taskMemory);
    const pdu = iser.queue(0x04, { offset: taskMemory, length: 13 });
    const request = one(iser);
    expect([request.flags, request.readStag, request.writeStag]).to.deep.equal([0x10, 0, 0]);
    expect(request.data).to.deep.equal(pattern(13));
    expect(request.itt).to.equal(iser.itt(pdu));
  });

  it('without data need no registration', () => {
    const iser = new IserFixture().fullFeature();
    iser.strategy.limit = 0;
    iser.queue(0x00);
    iser.command({});
    expect(iser.sent().map(({ flags }) => flags)).to.deep.equal([0x10, 0x10]);
  });

  it('reuse a header room without leaving an old STag in it', () => {
    const iser = new IserFixture(1).fullFeature();
    const pdu = iser.command({ readLength: 512 });
    iser.reactor.run();
    iser.receive(response(iser, pdu));
    iser.transport.freePdu(pdu);
    iser.sent();
    iser.queue(0x00);
    expect([one(iser).flags, iser.events.pdus.length]).to.deep.equal([0x10, 1]);
  });
});

describe('an answer over iSER that overtakes the completion of its SEND', () => {
  it('is held, and so is everything behind it, in order', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.holdSendCompletions = true;
    const first = iser.command({ readLength: 512 });
    const second = iser.command({ readLength: 512, offset: 4096 });
    iser.reactor.run();
    iser.receive(response(iser, second), iserMessage({ opcode: 0x20 }), response(iser, first));
    expect(iser.events.pdus).to.deep.equal([]);
    expect(iser.strategy.live.size).to.equal(2);
    iser.peer.completeSends(1);
    iser.reactor.run();
    expect(iser.events.pdus).to.deep.equal([]);
    iser.peer.completeSends(1);
    iser.reactor.run();
    expect(iser.events.pdus.map((seen) => seen.pdu)).to.deep.equal([second, -1, first]);
    expect(iser.peer.postedReceives).to.equal(20);
  });

  it('keeps a slot that the session has freed until the SEND has completed', () => {
    const iser = new IserFixture(1).fullFeature();
    iser.peer.holdSendCompletions = true;
    const pdu = iser.queue(0x00, { offset: taskMemory, length: 4 });
    iser.transport.freePdu(pdu);
    iser.reactor.run();
    expect(iser.transport.newPdu()).to.equal(-1);
    expect(iser.strategy.live.size).to.equal(1);
    iser.peer.completeSends();
    iser.reactor.run();
    expect(iser.strategy.live.size).to.equal(0);
    expect(iser.events.writable).to.equal(1);
    expect(iser.transport.newPdu()).to.equal(pdu);
  });

  it('a command freed before its SEND has completed costs the connection, not the memory', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.holdSendCompletions = true;
    const pdu = iser.command({ readLength: 512 });
    iser.reactor.run();
    iser.transport.freePdu(pdu);
    expect(iser.ended()?.end).to.equal('internal-error');
    expect(iser.reactor.violations).to.deep.equal([]);
  });

  it('an aborted task gives its registration back when the session frees it', () => {
    const iser = new IserFixture().fullFeature();
    const pdu = iser.command({ readLength: 512 });
    iser.reactor.run();
    iser.transport.freePdu(pdu);
    expect(iser.strategy.released).to.deep.equal([{ offset: taskMemory, writtenLength: 0 }]);
  });
});

describe('a slot over iSER', () => {
  it('may be queued again with the same tag once its answer is delivered', () => {
    const iser = new IserFixture().connect();
    const text = { offset: taskMemory, length: 8 };
    const pdu = iser.queue(0x03, text);
    const itt = iser.itt(pdu);
    let again = true;
    iser.events.hooks.onPdu = () => {
      if (again) iser.transport.queuePdu(pdu);
      again = false;
    };
    iser.reactor.run();
    const answer = iserMessage({ opcode: 0x23, itt });
    iser.receive(answer);
    expect(iser.sent().map((request) => request.itt)).to.deep.equal([itt, itt]);
    iser.receive(answer);
    expect(iser.events.pdus.map((seen) => seen.pdu)).to.deep.equal([pdu, pdu]);
    expect(iser.strategy.live.size).to.equal(0);
    iser.receive(answer);
    expect(iser.ended()?.detail).to.contain('belongs to no outstanding PDU');
  });

  it('that is rejected is reported only when its SEND has completed', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.holdSendCompletions = true;
    const pdu = iser.command({ readLength: 512 });
    const bhs = iser.transport.pdus.bhsOffset[pdu];
    const rejected = iser.reactor.arena.bytes.slice(bhs, bhs + 48);
    iser.events.hooks.onPdu = () => {
      iser.transport.freePdu(pdu);
    };
    iser.reactor.run();
    iser.receive(iserMessage({ opcode: 0x3f }, rejected));
    expect(iser.events.pdus).to.deep.equal([]);
    iser.peer.completeSends();
    iser.reactor.run();
    expect(iser.events.pdus).to.have.length(1);
    expect(iser.events.ends).to.deep.equal([]);
    expect(iser.strategy.live.size).to.equal(0);
  });

  it('takes no longer transfer than the registrations of the lane', () => {
    const iser = new IserFixture();
    iser.strategy.maximumLength = 65_536;
    expect(iser.transport.capabilities.maxTransferLength).to.equal(524_288);
    iser.connect();
    expect(iser.transport.capabilities.maxTransferLength).to.equal(65_536);
  });
});

describe('an iSER transport that cannot register', () => {
  it('sends in order once something is released, control PDUs too', () => {
    const iser = new IserFixture().fullFeature();
    iser.strategy.limit = 1;
    const pdus = [
      iser.command({ readLength: 512 }),
      iser.command({ writeLength: 512, offset: 4096 }),
      iser.queue(0x00),
      iser.command({ readLength: 512, offset: 8192 }),
    ];
    expect(iser.sent().map(({ itt }) => itt)).to.deep.equal([iser.itt(pdus[0])]);
    iser.receive(response(iser, pdus[0]));
    expect(iser.sent().map(({ itt }) => itt)).to.deep.equal([iser.itt(pdus[1]), iser.itt(pdus[2])]);
    iser.receive(response(iser, pdus[1]));
    expect(iser.sent().map(({ itt }) => itt)).to.deep.equal([iser.itt(pdus[3])]);
  });

  it('notices by a timer what another connection has released', () => {
    const iser = new IserFixture().fullFeature();
    iser.strategy.limit = 0;
    iser.command({ readLength: 512 });
    iser.timers.advance(5);
    expect(iser.sent()).to.deep.equal([]);
    iser.strategy.limit = 1;
    iser.timers.advance(5);
    expect(iser.sent()).to.have.length(1);
    expect(iser.timers.pending).to.equal(0);
  });

  it('stops trying when the connection ends', () => {
    const iser = new IserFixture().fullFeature();
    iser.strategy.limit = 0;
    iser.command({ readLength: 512 });
    iser.peer.disconnect();
    expect(iser.ended()?.end).to.equal('peer-closed');
    expect(iser.timers.pending).to.equal(0);
    expect(iser.reactor.leaks()).to.deep.equal([]);
  });
});

describe('an iSER transport refuses', () => {
  const cases: readonly [string, Uint8Array, string][] = [
    ['a message shorter than its headers', new Uint8Array(75), 'message of 75 bytes'],
    ['a Hello', new Uint8Array(76).fill(0x20, 0, 1), 'iSER header of Hello'],
    [
      'a data segment that is not there',
      iserMessage({ opcode: 0x32, dataSegmentLength: 100 }, pattern(99)),
      'message of 175 bytes, its TotalAHSLength and DataSegmentLength 100 make 176',
    ],
    [
      'more than three bytes of padding',
      iserMessage({ opcode: 0x32 }, pattern(4), 4),
      'message of 84 bytes',
    ],
    [
      'a data segment above the declared limit',
      iserMessage({ opcode: 0x32, dataSegmentLength: 8193 }),
      'DataSegmentLength 8193 exceeds the declared limit of 8192',
    ],
    ['Data-In', iserMessage({ opcode: 0x25, itt: 1 }), 'opcode 0x25 does not exist over iSER'],
    ['R2T', iserMessage({ opcode: 0x31, itt: 1 }), 'opcode 0x31 does not exist over iSER'],
    ['an unknown tag', iserMessage({ opcode: 0x21, itt: 7 }), 'belongs to no outstanding PDU'],
  ];
  for (const [what, message, detail] of cases) {
    it(what, () => {
      const iser = new IserFixture().fullFeature();
      iser.receive(message);
      const ended = iser.ended();
      expect(ended?.end).to.equal('protocol-error');
      expect(ended?.detail).to.contain(detail);
      expect(iser.events.pdus).to.deep.equal([]);
      expect(iser.reactor.leaks()).to.deep.equal([]);
    });
  }

  it('a second answer to a PDU that the session has freed', () => {
    const iser = new IserFixture().fullFeature();
    const pdu = iser.command({ readLength: 512 });
    iser.reactor.run();
    iser.events.hooks.onPdu = () => {
      iser.transport.freePdu(pdu);
    };
    const answer = response(iser, pdu);
    iser.receive(answer, answer);
    expect(iser.ended()?.detail).to.contain('belongs to no outstanding PDU');
    expect(iser.events.pdus).to.have.length(1);
  });

  it('nothing about responses with or without padding, and with additional headers', () => {
    const iser = new IserFixture().fullFeature();
    for (let padding = 0; padding <= 3; padding++)
      iser.receive(iserMessage({ opcode: 0x32, ahsWords: padding }, pattern(5), padding));
    expect(iser.events.pdus.map(({ data }) => data)).to.deep.equal(Array(4).fill(pattern(5)));
  });

  it('to hide a bug of the session behind a protocol error', () => {
    const iser = new IserFixture().fullFeature();
    iser.events.hooks.onPdu = () => {
      throw new TypeError('a bug above');
    };
    iser.peer.send(iserMessage({ opcode: 0x20 }));
    expect(() => iser.reactor.run()).to.throw('a bug above');
  });
});

describe('createTransport', () => {
  for (const name of ['tcp', 'iser'] as const) {
    it(`makes the ${name} datamover with its capabilities`, () => {
      const iser = new IserFixture();
      const transport = createTransport(name, {
        reactor: iser.reactor,
        pool: iser.pool,
        events: iser.events,
        pduCapacity: 4,
        schedule: iser.timers.schedule,
        strategyFor: () => iser.strategy,
      });
      expect(transport.capabilities.name).to.equal(name);
      expect(transport.capabilities.rdma).to.equal(name === 'iser');
    });
  }
});
