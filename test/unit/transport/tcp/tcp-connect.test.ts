import { expect } from 'chai';
import { ConnectionEnd } from '../../../../src/transport/transport.ts';
import { TcpFixture } from '../../../helpers/tcp-fixture.ts';
import { targetPdu } from '../../../helpers/target-pdus.ts';

function expectNothingLeft(tcp: TcpFixture): void {
  expect(tcp.reactor.leaks()).to.deep.equal([]);
  expect(tcp.reactor.violations).to.deep.equal([]);
  expect([...tcp.pool.live]).to.deep.equal([]);
  expect(tcp.timers.pending).to.equal(0);
}

describe('a TCP transport connecting', () => {
  it('reports the connection and can carry PDUs from then on', () => {
    const tcp = new TcpFixture();
    expect(tcp.transport.newPdu()).to.equal(-1);
    tcp.connect();
    expect(tcp.events.connected).to.equal(1);
    expect(tcp.transport.newPdu()).to.be.at.least(0);
  });

  for (const [errno, end] of [
    [111, ConnectionEnd.connectRefused],
    [110, ConnectionEnd.connectTimeout],
    [113, ConnectionEnd.unreachable],
    [101, ConnectionEnd.unreachable],
    [104, ConnectionEnd.connectionReset],
  ] as const) {
    it(`ends with ${end} on errno ${errno}`, () => {
      const tcp = new TcpFixture();
      tcp.reactor.onConnectStream = (attempt) => {
        attempt.refuse(errno);
      };
      tcp.connect();
      expect(tcp.ended()?.end).to.equal(end);
      expectNothingLeft(tcp);
    });
  }

  it('gives up after its own timeout when nothing answers', () => {
    const tcp = new TcpFixture();
    tcp.reactor.onConnectStream = () => undefined;
    tcp.connect();
    tcp.timers.advance(14_999);
    expect(tcp.events.ends).to.deep.equal([]);
    tcp.timers.advance(1);
    expect(tcp.ended()?.end).to.equal(ConnectionEnd.connectTimeout);
    expectNothingLeft(tcp);
  });

  it('ends with unreachable when the address cannot be used at all', () => {
    const tcp = new TcpFixture();
    tcp.reactor.connectStream = () => {
      throw new Error('EINVAL');
    };
    tcp.connect();
    expect(tcp.ended()).to.deep.equal({ end: 'unreachable', detail: 'connect: Error: EINVAL' });
    expectNothingLeft(tcp);
  });

  it('ends when there is no memory for headers or chunk, and gives back what it got', () => {
    const tcp = new TcpFixture();
    tcp.pool.failures = 1;
    tcp.connect();
    expect(tcp.ended()?.end).to.equal(ConnectionEnd.internalError);
    expectNothingLeft(tcp);
  });
});

describe('a TCP transport ending', () => {
  it('reports onClosed once, later, with the first reason', () => {
    const tcp = new TcpFixture().connect();
    tcp.transport.disconnect(ConnectionEnd.nopTimeout, 'silent');
    tcp.transport.disconnect(ConnectionEnd.requested, 'again');
    expect(tcp.events.ends).to.deep.equal([]);
    expect(tcp.peer.closed).to.equal(true);
    tcp.timers.advance(1000);
    expect(tcp.events.ends).to.deep.equal([{ end: 'nop-timeout', detail: 'silent' }]);
    expect(tcp.transport.state).to.equal('closed');
    expectNothingLeft(tcp);
  });

  it('reports onClosed also when it never was connected, and does not connect any more', () => {
    const tcp = new TcpFixture();
    tcp.transport.disconnect(ConnectionEnd.requested, '');
    tcp.transport.connect({ address: '192.0.2.1', port: 3260 });
    expect(tcp.ended()?.end).to.equal(ConnectionEnd.requested);
    expectNothingLeft(tcp);
  });

  it('touches nothing after disconnect: late calls of the session have no effect', () => {
    const tcp = new TcpFixture().fullFeature();
    const pdu = tcp.transport.newPdu();
    tcp.transport.disconnect(ConnectionEnd.requested, '');
    tcp.transport.queuePdu(pdu);
    tcp.transport.freePdu(pdu);
    expect(tcp.transport.newPdu()).to.equal(-1);
    tcp.transport.prepareFullFeature();
    tcp.transport.enterFullFeature({} as never);
    tcp.transport.onReceived(10, 0);
    tcp.transport.onSent(pdu, 0);
    expect(tcp.ended()?.end).to.equal(ConnectionEnd.requested);
    expectNothingLeft(tcp);
  });

  it('ends with peer-closed at end of file, after delivering what came before it', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.peer.write(targetPdu({ opcode: 0x20 }));
    tcp.peer.close();
    expect(tcp.ended()?.end).to.equal(ConnectionEnd.peerClosed);
    expect(tcp.events.pdus).to.have.length(1);
    expectNothingLeft(tcp);
  });

  it('ends with connection-reset when a receive fails', () => {
    const tcp = new TcpFixture().connect();
    tcp.peer.error(104);
    expect(tcp.ended()).to.deep.equal({ end: 'connection-reset', detail: 'receive: errno 104' });
    expectNothingLeft(tcp);
  });

  it('ends with connection-reset when a send fails', () => {
    const tcp = new TcpFixture().connect();
    tcp.peer.sendErrno = 32;
    tcp.queue(0x03);
    expect(tcp.ended()).to.deep.equal({ end: 'connection-reset', detail: 'send: errno 32' });
    expectNothingLeft(tcp);
  });

  it('delivers nothing more once the session has disconnected from within onPdu', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.events.hooks.onPdu = () => {
      tcp.transport.disconnect(ConnectionEnd.loginFailed, 'no');
    };
    tcp.receive(targetPdu({ opcode: 0x20 }), targetPdu({ opcode: 0x20 }));
    expect(tcp.events.pdus).to.have.length(1);
    expect(tcp.ended()?.end).to.equal(ConnectionEnd.loginFailed);
    expectNothingLeft(tcp);
  });

  it('lets an error that is not the peer’s through', () => {
    const tcp = new TcpFixture().fullFeature();
    tcp.events.hooks.onPdu = () => {
      throw new TypeError('a bug above');
    };
    tcp.peer.write(targetPdu({ opcode: 0x20 }));
    expect(() => {
      tcp.reactor.run();
    }).to.throw('a bug above');
  });
});

describe('PDU slots of a TCP transport', () => {
  it('are free only when the session has freed them and the send is with the kernel', () => {
    const tcp = new TcpFixture(1).fullFeature();
    tcp.peer.pauseReading();
    const pdu = tcp.queue(0x00);
    tcp.transport.freePdu(pdu);
    tcp.reactor.run();
    expect(tcp.transport.newPdu()).to.equal(-1);
    tcp.peer.resumeReading();
    tcp.reactor.run();
    expect(tcp.events.writable).to.equal(1);
    expect(tcp.transport.newPdu()).to.equal(pdu);
  });

  it('are announced by a timer when they are freed outside of a batch', () => {
    const tcp = new TcpFixture(1).fullFeature();
    const pdu = tcp.queue(0x00);
    tcp.reactor.run();
    expect(tcp.transport.newPdu()).to.equal(-1);
    tcp.transport.freePdu(pdu);
    expect(tcp.events.writable).to.equal(0);
    tcp.timers.advance(10);
    expect(tcp.events.writable).to.equal(1);
  });

  it('are not announced when nobody was refused', () => {
    const tcp = new TcpFixture(2).fullFeature();
    tcp.transport.freePdu(tcp.queue(0x00));
    tcp.reactor.run();
    tcp.timers.advance(10);
    expect(tcp.events.writable).to.equal(0);
  });

  it('have a zeroed BHS whatever was there before', () => {
    const tcp = new TcpFixture(1).fullFeature();
    tcp.transport.freePdu(tcp.queue(0x06));
    tcp.reactor.run();
    const bhs = tcp.transport.pdus.bhsOffset[tcp.transport.newPdu()];
    expect(tcp.reactor.arena.bytes.slice(bhs, bhs + 48).every((byte) => byte === 0)).to.equal(true);
  });
});
