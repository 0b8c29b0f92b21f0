import { expect } from 'chai';
import { BlockError, BlockFlag, BlockOperation } from '../../../src/block/request-table.ts';
import { NbdCounter } from '../../../src/nbd/counters.ts';
import {
  concat,
  disconnect,
  hexBytes,
  infoData,
  option,
  parseOptionReplies,
  parseReplies,
  read,
  request,
  u32,
  utf8,
  write,
} from '../../helpers/nbd-client.ts';
import type { NbdPeer } from '../../helpers/nbd-fixture.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';

function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13 + seed) & 0xff);
}

/** DISC, and everything must be given back. */
function leave(fixture: NbdFixture, client: NbdPeer): void {
  client.exchange(disconnect);
  expect(client.ended).to.equal('disconnected');
  expect(client.ends).to.equal(1);
  fixture.expectNothingLeft();
}

describe('NBD connection, kernel mode', () => {
  it('says nothing before it is asked', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    expect(client.exchange()).to.have.lengthOf(0);
    leave(fixture, client);
  });

  it('writes, reads back and answers in golden bytes', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const data = pattern(1024);
    expect(client.exchange(write(0x0102030405060708n, 512, data))).to.deep.equal(
      hexBytes('67446698 00000000 0102030405060708'),
    );
    expect(client.exchange(read(9n, 512, 1024))).to.deep.equal(
      concat(hexBytes('67446698 00000000 0000000000000009'), data),
    );
    leave(fixture, client);
  });

  it('gives the device operation, place and flags of every command', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const commands: [number, number, number, number][] = [
      [3, 0, 0, 1],
      [4, 512, 1024, 0],
      [5, 0, 4096, 0],
      [6, 1024, 2048, 1 | 2 | 16],
    ];
    for (const [command, offset, length, flags] of commands) {
      const bytes = client.exchange(request({ command, offset, length, flags, cookie: 5n }));
      expect(bytes).to.deep.equal(hexBytes('67446698 00000000 0000000000000005'));
    }
    const { forceUnitAccess, noHole, fastZero } = BlockFlag;
    const { flush, trim, cache, writeZeroes } = BlockOperation;
    expect(fixture.device.log).to.deep.equal([
      { operation: flush, offset: 0, length: 0, flags: forceUnitAccess },
      { operation: trim, offset: 512, length: 1024, flags: 0 },
      { operation: cache, offset: 0, length: 4096, flags: 0 },
      {
        operation: writeZeroes,
        offset: 1024,
        length: 2048,
        flags: forceUnitAccess | noHole | fastZero,
      },
    ]);
    leave(fixture, client);
  });

  it('answers in the order in which the device finishes', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    client.exchange(read(1n, 0, 512), write(2n, 512, pattern(512)), read(3n, 1024, 512));
    fixture.device.finishAt(2);
    fixture.device.finishAt(1);
    fixture.device.finishAt(0);
    fixture.reactor.run();
    const replies = parseReplies(client.peer.take(), (cookie) => (cookie === 2n ? 0 : 512));
    expect(replies.map(({ cookie }) => cookie)).to.deep.equal([3n, 2n, 1n]);
    leave(fixture, client);
  });

  it('answers both of two requests with the same cookie', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const bytes = client.exchange(read(7n, 0, 512), read(7n, 512, 512));
    expect(parseReplies(bytes, () => 512).map(({ cookie }) => cookie)).to.deep.equal([7n, 7n]);
    leave(fixture, client);
  });

  for (const [name, error] of [
    ['ioError', 5],
    ['notPermitted', 1],
    ['noSpace', 28],
    ['shuttingDown', 108],
  ] as const) {
    it(`passes on that the device failed with ${name}, without data`, () => {
      const fixture = new NbdFixture();
      const client = fixture.attach();
      fixture.device.fault = () => BlockError[name];
      const replies = parseReplies(client.exchange(read(1n, 0, 512), write(2n, 0, pattern(512))));
      expect(replies.map((reply) => reply.error)).to.deep.equal([error, error]);
      expect(client.connection.counters[NbdCounter.failed]).to.equal(2);
      leave(fixture, client);
    });
  }

  it('takes the payload of a refused write from the stream and stays in step', () => {
    const fixture = new NbdFixture({ sizeBytes: 65536 });
    const client = fixture.attach();
    const bytes = client.exchange(
      write(1n, 65536, pattern(512)),
      write(2n, 1, pattern(300 * 1024)),
      write(3n, 0, pattern(512), 2),
      read(4n, 0, 512),
    );
    const replies = parseReplies(bytes, () => 512);
    expect(replies.map(({ cookie, error }) => [cookie, error])).to.deep.equal([
      [1n, 28],
      [2n, 28],
      [3n, 22],
      [4n, 0],
    ]);
    expect(fixture.device.log).to.have.lengthOf(1);
    expect(client.connection.counters[NbdCounter.refused]).to.equal(3);
    leave(fixture, client);
  });

  it('refuses a write to a read-only device, takes its payload and stays', () => {
    const fixture = new NbdFixture({ geometry: { readOnly: true } });
    const client = fixture.attach();
    const replies = parseReplies(
      client.exchange(write(1n, 0, pattern(4096)), read(2n, 0, 512)),
      () => 512,
    );
    expect(replies.map(({ error }) => error)).to.deep.equal([1, 0]);
    leave(fixture, client);
  });

  it('answers empty reads, writes, trims and zeroes without the device', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const replies = parseReplies(
      client.exchange(
        read(1n, 0, 0),
        write(2n, 0, new Uint8Array(0)),
        request({ command: 4, cookie: 3n }),
        request({ command: 6, cookie: 4n }),
        write(5n, 1, new Uint8Array(0)),
      ),
    );
    expect(replies.map(({ error }) => error)).to.deep.equal([0, 0, 0, 0, 22]);
    expect(fixture.device.log).to.deep.equal([]);
    leave(fixture, client);
  });

  it('answers unknown commands with EINVAL and stays', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const replies = parseReplies(
      client.exchange(request({ command: 8, cookie: 1n }), request({ command: 4711, cookie: 2n })),
    );
    expect(replies.map(({ error }) => error)).to.deep.equal([22, 22]);
    leave(fixture, client);
  });

  it('answers a read that is too long with EINVAL and stays', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    for (const length of [33 * 1024 * 1024, 65 * 1024 * 1024, 0xffffffff]) {
      expect(parseReplies(client.exchange(read(1n, 0, length)))[0].error).to.equal(22);
    }
    leave(fixture, client);
  });

  it('reads and throws away a write that is somewhat too long', () => {
    const limits = { payloadLength: 65536, discardLength: 200 * 1024 };
    const fixture = new NbdFixture({ limits });
    const client = fixture.attach();
    const bytes = client.exchange(write(1n, 0, pattern(200 * 1024)), read(2n, 0, 512));
    expect(parseReplies(bytes, () => 512).map(({ error }) => error)).to.deep.equal([22, 0]);
    leave(fixture, client);
  });

  it('closes on a write that is much too long, before its payload', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.exchange(request({ command: 1, length: 200 * 1024 * 1024 }));
    expect(client.ended).to.equal('payload-too-long');
    expect(client.detail).to.contain('209715200');
    fixture.expectNothingLeft();
  });

  it('counts requests, bytes and errors', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.exchange(
      write(1n, 0, pattern(1024)),
      read(2n, 0, 512),
      read(3n, 0, 512),
      read(4n, 1, 1),
    );
    const { counters } = client.connection;
    expect(counters[NbdCounter.writes]).to.equal(1);
    expect(counters[NbdCounter.bytesWritten]).to.equal(1024);
    expect(counters[NbdCounter.reads]).to.equal(2);
    expect(counters[NbdCounter.bytesRead]).to.equal(1024);
    expect(counters[NbdCounter.refused]).to.equal(1);
    expect(counters[NbdCounter.receives]).to.equal(1);
    leave(fixture, client);
  });
});

describe('NBD connection, with handshake', () => {
  it('greets, haggles and serves', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    expect(client.exchange()).to.have.lengthOf(18);
    expect(client.exchange(u32(3))).to.have.lengthOf(0);
    const replies = parseOptionReplies(client.exchange(option(7, infoData('disk'))));
    expect(replies.map(({ type }) => type)).to.deep.equal([3, 1]);
    expect(client.connection.phase).to.equal('transmitting');
    expect(client.connection.nbdExport?.name).to.equal('disk');
    expect(client.exchange(read(1n, 0, 512))).to.have.lengthOf(16 + 512);
    leave(fixture, client);
  });

  it('serves a client that sends everything at once', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    const bytes = client.exchange(
      u32(3),
      option(3),
      option(1, utf8('disk')),
      write(1n, 0, pattern(512)),
      read(2n, 0, 512),
      disconnect,
    );
    expect(bytes.slice(-528)).to.deep.equal(
      concat(hexBytes('67446698 00000000 0000000000000002'), pattern(512)),
    );
    expect(client.ended).to.equal('disconnected');
    fixture.expectNothingLeft();
  });

  it('sends a list that is longer than its memory, in pieces', () => {
    const fixture = new NbdFixture({ limits: { requests: 2 } });
    for (let i = 0; i < 100; i++) {
      const name = `export-${i}-${'x'.repeat(50)}`;
      fixture.exports.push({ name, description: '', device: fixture.device });
    }
    const client = fixture.negotiate();
    client.exchange();
    const replies = parseOptionReplies(client.exchange(u32(3), option(3)));
    expect(replies).to.have.lengthOf(102);
    client.exchange(option(2));
    expect(client.ended).to.equal('aborted');
    fixture.expectNothingLeft();
  });

  it('does not look at the next option before the client has taken the last reply', () => {
    const fixture = new NbdFixture({ limits: { options: 3 } });
    const client = fixture.negotiate();
    client.exchange(u32(3));
    client.peer.pauseReading();
    client.exchange(option(3), option(3), option(3), option(3));
    expect(client.ended).to.equal(undefined);
    client.peer.resumeReading();
    fixture.reactor.run();
    expect(client.ended).to.equal('too-many-options');
    fixture.expectNothingLeft();
  });

  it('acknowledges ABORT, then closes', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    client.exchange();
    const replies = parseOptionReplies(client.exchange(u32(3), option(2)));
    expect(replies.map(({ type }) => type)).to.deep.equal([1]);
    expect(client.ended).to.equal('aborted');
    fixture.expectNothingLeft();
  });

  it('counts it as an abort when the client does not wait for the answer to ABORT', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    client.exchange();
    client.send(u32(3), option(2));
    client.peer.pauseReading();
    fixture.reactor.run();
    client.peer.close();
    fixture.reactor.run();
    expect(client.ended).to.equal('aborted');
    fixture.expectNothingLeft();
  });

  it('closes a silent client at the deadline', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    client.exchange();
    fixture.timers.advance(9999);
    expect(client.ended).to.equal(undefined);
    fixture.timers.advance(1);
    expect(client.ended).to.equal('handshake-timeout');
    fixture.expectNothingLeft();
  });

  it('closes a client that sends a byte per second at the same deadline', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    const bytes = concat(u32(3), option(7, infoData('disk')));
    for (let second = 0; second < 10; second++) {
      expect(client.ended).to.equal(undefined);
      client.exchange(bytes.subarray(second, second + 1));
      fixture.timers.advance(1000);
    }
    expect(client.ended).to.equal('handshake-timeout');
    fixture.expectNothingLeft();
  });

  it('has no deadline once the transmission phase has begun', () => {
    const fixture = new NbdFixture();
    const client = fixture.structured();
    fixture.timers.advance(1e9);
    expect(client.ended).to.equal(undefined);
    leave(fixture, client);
  });

  it('ends with peer-closed when the client connects and goes', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    client.peer.end();
    fixture.reactor.run();
    expect(client.ended).to.equal('peer-closed');
    fixture.expectNothingLeft();
  });

  it('closes on bad bytes without an answer', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    client.exchange();
    expect(client.exchange(u32(0xffffffff))).to.have.lengthOf(0);
    expect(client.ended).to.equal('bad-handshake');
    fixture.expectNothingLeft();
  });
});
