import { expect } from 'chai';
import { NbdCounter } from '../../../src/nbd/counters.ts';
import { disconnect, parseReplies, read, write } from '../../helpers/nbd-client.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';

function reads(count: number, length: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => read(BigInt(i), 0, length));
}

describe('NBD back-pressure', () => {
  it('keeps a client that never reads its replies within its limits', () => {
    const limits = { requests: 8, bytesInFlight: 256 * 1024 };
    const fixture = new NbdFixture({ limits });
    const client = fixture.attach();
    client.peer.pauseReading(100);
    client.exchange(...reads(5000, 65536));
    expect(client.connection.counters[NbdCounter.reads]).to.equal(4);
    expect(client.peer.inbound.length).to.be.greaterThan(0);
    expect(fixture.pool.statistics.usedBytes).to.be.below(1024 * 1024);
    client.peer.close();
    fixture.reactor.run();
    expect(client.ended).to.equal('connection-reset');
    fixture.expectNothingLeft();
  });

  it('goes on when the client reads again, and loses nothing', () => {
    const limits = { requests: 8, bytesInFlight: 256 * 1024 };
    const fixture = new NbdFixture({ limits });
    const client = fixture.attach();
    client.peer.pauseReading();
    client.exchange(...reads(100, 16384), disconnect);
    client.peer.resumeReading();
    fixture.reactor.run();
    expect(parseReplies(client.peer.take(), () => 16384)).to.have.lengthOf(100);
    expect(client.ended).to.equal('disconnected');
    fixture.expectNothingLeft();
  });

  it('bounds write replies that are not read, too', () => {
    const fixture = new NbdFixture({ limits: { requests: 8 } });
    const client = fixture.attach();
    client.peer.pauseReading();
    const writes = Array.from({ length: 1000 }, (_, i) => write(BigInt(i), 0, new Uint8Array(512)));
    client.exchange(...writes);
    expect(client.connection.counters[NbdCounter.writes]).to.be.at.most(16);
    client.peer.resumeReading();
    fixture.reactor.run();
    expect(parseReplies(client.peer.take())).to.have.lengthOf(1000);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('has no more than its number of requests at the device', () => {
    const fixture = new NbdFixture({ automatic: false, limits: { requests: 8 } });
    const client = fixture.attach();
    client.exchange(...reads(100, 512));
    expect(fixture.device.pending).to.have.lengthOf(8);
    fixture.device.finish(3);
    fixture.reactor.run();
    expect(fixture.device.pending).to.have.lengthOf(8);
    fixture.device.automatic = true;
    fixture.device.finish();
    fixture.reactor.run();
    expect(parseReplies(client.peer.take(), () => 512)).to.have.lengthOf(100);
    expect(fixture.device.peakPending).to.equal(8);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('does not let a stuck client stop another one', () => {
    const fixture = new NbdFixture({ limits: { requests: 8, bytesInFlight: 65536 } });
    const stuck = fixture.attach();
    const other = fixture.attach();
    stuck.peer.pauseReading();
    stuck.exchange(...reads(100, 65536));
    expect(other.exchange(read(1n, 0, 512))).to.have.lengthOf(528);
    stuck.connection.close();
    other.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('lets one request through that is larger than the limit on bytes', () => {
    const fixture = new NbdFixture({ limits: { bytesInFlight: 4096 } });
    const client = fixture.attach();
    const bytes = client.exchange(
      read(1n, 0, 65536),
      write(2n, 0, new Uint8Array(65536)),
      read(3n, 0, 65536),
    );
    expect(parseReplies(bytes, (cookie) => (cookie === 2n ? 0 : 65536))).to.have.lengthOf(3);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('waits for a request slot that other connections hold, and is told', () => {
    const fixture = new NbdFixture({ capacity: 2, automatic: false });
    const first = fixture.attach();
    const second = fixture.attach();
    first.exchange(...reads(2, 512));
    second.exchange(read(7n, 0, 512), write(8n, 0, new Uint8Array(512)));
    expect(fixture.device.pending).to.have.lengthOf(2);
    fixture.device.finish(1);
    fixture.reactor.run();
    expect(fixture.device.pending).to.have.lengthOf(2);
    fixture.device.automatic = true;
    fixture.device.finish();
    fixture.reactor.run();
    const replies = parseReplies(second.peer.take(), (cookie) => (cookie === 7n ? 512 : 0));
    expect(replies.map(({ cookie }) => cookie)).to.deep.equal([7n, 8n]);
    first.exchange(disconnect);
    second.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('passes the slot on when the connection that waited for it has closed', () => {
    const fixture = new NbdFixture({ capacity: 1, automatic: false });
    const [first, second, third] = [fixture.attach(), fixture.attach(), fixture.attach()];
    for (const client of [first, second, third]) client.exchange(read(1n, 0, 512));
    second.connection.close();
    fixture.device.finish(1);
    fixture.reactor.run();
    fixture.device.finish(1);
    fixture.reactor.run();
    expect(third.peer.take()).to.have.lengthOf(528);
    first.exchange(disconnect);
    third.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('waits for pool memory and goes on when there is some', () => {
    const fixture = new NbdFixture({ poolBytes: 1024 * 1024 });
    const client = fixture.attach();
    client.exchange(read(1n, 0, 512));
    client.peer.take();
    const hogs: number[] = [];
    for (let hog = fixture.pool.allocate(256 * 1024); hog >= 0;) {
      hogs.push(hog);
      hog = fixture.pool.allocate(256 * 1024);
    }
    expect(client.exchange(read(2n, 0, 256 * 1024))).to.have.lengthOf(0);
    expect(client.exchange(write(3n, 0, new Uint8Array(128 * 1024)))).to.have.lengthOf(0);
    for (const hog of hogs) fixture.pool.release(hog);
    fixture.pool.flushWaiters();
    fixture.reactor.run();
    const replies = parseReplies(client.peer.take(), (cookie) => (cookie === 2n ? 262144 : 0));
    expect(replies.map(({ cookie }) => cookie)).to.deep.equal([2n, 3n]);
    client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('does not sit on memory while it waits, so that clients with large writes cannot block each other', () => {
    // Six segments of 256 KiB, two of them for connections, and payloads of one to three.
    const fixture = new NbdFixture({
      poolBytes: 6 * 256 * 1024,
      limits: { bytesInFlight: 512 * 1024, requests: 16 },
    });
    const clients = Array.from({ length: 6 }, () => fixture.attach());
    const each = 12;
    clients.forEach((client, index) => {
      for (let i = 0; i < each; i++) {
        const length = 65_536 * (1 + ((index * 5 + i * 3) % 10));
        client.send(write(BigInt(i), 0, new Uint8Array(length)));
      }
    });
    const answered = clients.map(() => 0);
    for (let round = 0; round < 200; round++) {
      fixture.reactor.run();
      fixture.pool.flushWaiters();
      clients.forEach((client, index) => {
        answered[index] += parseReplies(client.peer.take()).length;
      });
    }
    expect(answered).to.deep.equal(clients.map(() => each));
    for (const client of clients) client.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('waits for pool memory during the handshake', () => {
    const fixture = new NbdFixture({ poolBytes: 512 * 1024 });
    const hog = fixture.pool.allocate(256 * 1024);
    const client = fixture.negotiate();
    expect(client.exchange(Uint8Array.of(0, 0, 0, 3))).to.have.lengthOf(18);
    expect(client.peer.inbound.length).to.equal(4);
    fixture.pool.release(hog);
    fixture.pool.flushWaiters();
    fixture.reactor.run();
    expect(client.peer.inbound.length).to.equal(0);
    client.connection.close();
    fixture.expectNothingLeft();
  });
});
