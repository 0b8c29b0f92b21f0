import { expect } from 'chai';
import {
  concat,
  disconnect,
  infoData,
  option,
  parseReplies,
  read,
  request,
  u32,
  write,
} from '../../helpers/nbd-client.ts';
import { NbdConnection } from '../../../src/nbd/index.ts';
import { NbdFixture } from '../../helpers/nbd-fixture.ts';

const econnreset = 104;

describe('NBD connection end', () => {
  it('on a wrong request magic closes this connection and no other', () => {
    const fixture = new NbdFixture();
    const bad = fixture.attach();
    const good = fixture.attach();
    bad.exchange(request({ magic: 0x25609514, command: 0, length: 512 }));
    expect(bad.ended).to.equal('bad-request-magic');
    expect(good.exchange(read(1n, 0, 512))).to.have.lengthOf(528);
    good.exchange(disconnect);
    fixture.expectNothingLeft();
  });

  it('on DISC answers 64 reads in flight first, and ignores what follows', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    const reads = Array.from({ length: 64 }, (_, i) => read(BigInt(i), i * 512, 512));
    client.exchange(...reads, disconnect, read(64n, 0, 512), new Uint8Array(100));
    expect(client.ended).to.equal(undefined);
    fixture.device.finish();
    fixture.reactor.run();
    expect(parseReplies(client.peer.take(), () => 512)).to.have.lengthOf(64);
    expect(client.ended).to.equal('disconnected');
    fixture.expectNothingLeft();
  });

  it('on DISC with other fields set closes all the same', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.exchange(request({ command: 2, flags: 0xffff, offset: 1, length: 1, cookie: 9n }));
    expect(client.ended).to.equal('disconnected');
    fixture.expectNothingLeft();
  });

  it('at end of file between requests answers what is outstanding first', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    client.exchange(read(1n, 0, 512));
    client.peer.end();
    fixture.reactor.run();
    expect(client.ended).to.equal(undefined);
    fixture.device.finish();
    fixture.reactor.run();
    expect(client.peer.take()).to.have.lengthOf(528);
    expect(client.ended).to.equal('peer-closed');
    fixture.expectNothingLeft();
  });

  it('at end of file within a header is truncated-request', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.send(read(1n, 0, 512).subarray(0, 27));
    client.peer.end();
    fixture.reactor.run();
    expect(client.ended).to.equal('truncated-request');
    fixture.expectNothingLeft();
  });

  for (const length of [512, 300 * 1024]) {
    it(`at end of file within a payload of ${length} bytes writes complete requests only`, () => {
      const fixture = new NbdFixture();
      const client = fixture.attach();
      const data = new Uint8Array(length).fill(1);
      client.send(write(1n, 0, data), write(2n, 0, data.fill(2)).subarray(0, -1));
      client.peer.end();
      fixture.reactor.run();
      expect(client.ended).to.equal('truncated-request');
      expect(fixture.device.log).to.have.lengthOf(1);
      expect(fixture.device.bytes[length - 1]).to.equal(1);
      fixture.expectNothingLeft();
    });
  }

  it('at end of file within a discarded payload is truncated-request', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.send(write(1n, 1, new Uint8Array(2048)).subarray(0, 1000));
    client.peer.end();
    fixture.reactor.run();
    expect(client.ended).to.equal('truncated-request');
    fixture.expectNothingLeft();
  });

  it('by a reset keeps the buffers of requests at the device until it has reported them', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    client.exchange(read(1n, 0, 4096), write(2n, 0, new Uint8Array(4096)), read(3n, 1, 1));
    client.peer.error(econnreset);
    fixture.reactor.run();
    expect(client.ended).to.equal('connection-reset');
    expect(client.connection.requestsAtDevice).to.equal(2);
    expect(fixture.pool.statistics.usedBytes).to.be.greaterThan(0);
    fixture.device.finish();
    expect(client.connection.requestsAtDevice).to.equal(0);
    expect(client.ends).to.equal(1);
    fixture.expectNothingLeft();
  });

  it('when the peer goes while a reply is half written frees every buffer once', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.peer.pauseReading(1000);
    client.exchange(read(1n, 0, 4096), read(2n, 0, 4096));
    client.peer.close();
    fixture.reactor.run();
    expect(client.ended).to.equal('connection-reset');
    expect(client.detail).to.contain('errno 32');
    fixture.expectNothingLeft();
  });

  it('by close gives everything back, with a request half received', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    client.exchange(read(1n, 0, 4096), write(2n, 0, new Uint8Array(300 * 1024)).subarray(0, 70000));
    client.connection.close('test');
    client.connection.close('again');
    expect([client.ended, client.detail, client.ends]).to.deep.equal(['requested', 'test', 1]);
    fixture.device.finish();
    fixture.expectNothingLeft();
  });

  it('comes at once, and cleanly, when there is no memory for it', () => {
    const fixture = new NbdFixture({ poolBytes: 256 * 1024 });
    const hog = fixture.pool.allocate(256 * 1024);
    const client = fixture.attach();
    expect(client.ended).to.equal('no-memory');
    expect(client.peer.closed).to.equal(true);
    fixture.pool.release(hog);
    fixture.expectNothingLeft();
  });

  it('is not hurried by the pool giving memory to a connection that is closed', () => {
    const fixture = new NbdFixture({ poolBytes: 768 * 1024 });
    const client = fixture.attach();
    const hog = fixture.pool.allocate(256 * 1024);
    client.exchange(read(1n, 0, 128 * 1024), read(2n, 0, 256 * 1024));
    client.connection.close();
    fixture.pool.release(hog);
    fixture.pool.flushWaiters();
    fixture.expectNothingLeft();
  });
});

describe('NBD connection without a usable socket', () => {
  function refuseStreams(fixture: NbdFixture): void {
    const error = new Error('epoll_ctl: ENOMEM');
    Object.assign(fixture.reactor, {
      openStream: (fd: number) => {
        fixture.reactor.closeFd(fd);
        throw error;
      },
    });
  }

  it('ends at start instead of throwing', () => {
    const fixture = new NbdFixture();
    refuseStreams(fixture);
    const client = fixture.attach();
    expect([client.ended, client.ends]).to.deep.equal(['connection-reset', 1]);
    expect(client.detail).to.contain('ENOMEM');
    client.connection.close();
    expect(client.ends).to.equal(1);
    fixture.expectNothingLeft();
  });

  it('closes the socket when it is closed without ever having been started', () => {
    const fixture = new NbdFixture();
    const { fd, peer } = fixture.reactor.streamPair();
    const ends: string[] = [];
    const connection = new NbdConnection(fd, {
      reactor: fixture.reactor,
      pool: fixture.pool,
      timers: fixture.timers,
      serve: { device: fixture.device },
      events: { onClosed: (_, end) => ends.push(end) },
    });
    connection.close();
    expect(ends).to.deep.equal(['requested']);
    expect(peer.closed).to.equal(true);
    fixture.expectNothingLeft();
  });
});

describe('NBD connection drain', () => {
  it('answers what is outstanding and closes with nothing taken beyond it', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.attach();
    client.exchange(read(1n, 0, 512), read(2n, 512, 512));
    client.connection.drain();
    expect(client.connection.phase).to.equal('draining');
    fixture.device.finish();
    fixture.reactor.run();
    expect(parseReplies(client.peer.take(), () => 512)).to.have.lengthOf(2);
    expect(client.ended).to.equal('drained');
    fixture.expectNothingLeft();
  });

  it('finishes the request that is half received and leaves the next one in the socket', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    const half = write(1n, 0, new Uint8Array(4096).fill(5));
    client.exchange(half.subarray(0, 100));
    client.connection.drain();
    expect(client.ended).to.equal(undefined);
    const next = read(2n, 0, 512);
    client.exchange(half.subarray(100, 1000));
    client.exchange(concat(half.subarray(1000), next));
    expect(client.ended).to.equal('drained');
    expect(fixture.device.bytes[4095]).to.equal(5);
    fixture.expectNothingLeft();
  });

  it('of an idle connection takes no more than a turn, asked twice', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.exchange(write(1n, 0, new Uint8Array(512)));
    client.connection.drain();
    client.connection.drain();
    fixture.reactor.run();
    expect([client.ended, client.ends]).to.deep.equal(['drained', 1]);
    fixture.expectNothingLeft();
  });

  it('serves what has landed, and leaves what comes later in the socket', () => {
    const fixture = new NbdFixture();
    const client = fixture.attach();
    client.exchange(write(1n, 0, new Uint8Array(512)));
    client.peer.take();
    const half = write(2n, 512, new Uint8Array(512).fill(7));
    client.peer.write(half.subarray(0, 20));
    client.connection.drain();
    fixture.reactor.run();
    expect(client.ended).to.equal(undefined);
    expect(client.exchange(concat(half.subarray(20), read(3n, 0, 512)))).to.have.lengthOf(16);
    expect(client.ended).to.equal('drained');
    expect(fixture.device.bytes[1023]).to.equal(7);
    fixture.expectNothingLeft();
  });

  it('cuts a handshake off', () => {
    const fixture = new NbdFixture();
    const client = fixture.negotiate();
    client.exchange(u32(3));
    client.connection.drain();
    expect(client.ended).to.equal('drained');
    fixture.expectNothingLeft();
  });

  it('is over when the client leaves by itself', () => {
    const fixture = new NbdFixture({ automatic: false });
    const client = fixture.negotiate();
    client.exchange(u32(3), option(7, infoData('disk')), read(1n, 0, 512));
    client.connection.drain();
    client.peer.close();
    fixture.device.finish();
    fixture.reactor.run();
    expect(client.ended).to.equal('connection-reset');
    fixture.expectNothingLeft();
  });
});
