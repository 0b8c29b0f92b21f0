import { expect } from 'chai';
import { FakeCmEvent, fakeNativeError } from '../../../../src/reactor/fake-reactor.ts';
import { ConnectionEnd } from '../../../../src/transport/transport.ts';
import { IserFixture } from '../../../helpers/iser-fixture.ts';
import { iserMessage } from '../../../helpers/target-pdus.ts';
import { defaultParameters } from '../../../helpers/transport-fixture.ts';

function expectNothingLeft(iser: IserFixture): void {
  expect(iser.reactor.leaks()).to.deep.equal([]);
  expect(iser.reactor.violations).to.deep.equal([]);
  expect([...iser.pool.live]).to.deep.equal([]);
  expect([...iser.strategy.live]).to.deep.equal([]);
  expect(iser.timers.pending).to.equal(0);
}

describe('an iSER transport connecting', () => {
  it('has login receives posted before the target hears of it, and declares 0xC0', () => {
    const iser = new IserFixture();
    let posted = 0;
    iser.reactor.onRdmaOpen = (peer) => {
      peer.onConnect = () => {
        posted = peer.postedReceives;
      };
    };
    iser.connect();
    expect(posted).to.be.at.least(1);
    expect(iser.peer.connectParameters).to.deep.equal({
      responderResources: 16,
      initiatorDepth: 0,
      retryCount: 6,
      rnrRetryCount: 7,
      privateData: Uint8Array.of(0xc0, 0, 0, 0),
    });
    expect(iser.events.connected).to.equal(1);
    expect([iser.peer.address, iser.peer.port]).to.deep.equal(['192.0.2.1', 3260]);
  });

  it('carries no PDU before it is established', () => {
    const iser = new IserFixture();
    expect(iser.transport.newPdu()).to.equal(-1);
    iser.connect();
    expect(iser.transport.newPdu()).to.be.at.least(0);
  });

  const steps = [
    ['resolveAddress', FakeCmEvent.addrError, -110, ConnectionEnd.unreachable],
    ['resolveAddress', FakeCmEvent.addrError, -19, ConnectionEnd.noDevice],
    ['resolveRoute', FakeCmEvent.routeError, -110, ConnectionEnd.unreachable],
    ['connect', FakeCmEvent.rejected, 8, ConnectionEnd.connectRefused],
    ['connect', FakeCmEvent.rejected, 28, ConnectionEnd.connectRefused],
    ['connect', FakeCmEvent.rejected, 10, ConnectionEnd.connectRefused],
    ['connect', FakeCmEvent.unreachable, -110, ConnectionEnd.unreachable],
    ['connect', FakeCmEvent.connectError, -71, ConnectionEnd.connectionReset],
    ['connect', FakeCmEvent.deviceRemoval, 0, ConnectionEnd.deviceRemoved],
  ] as const;
  for (const [step, event, status, end] of steps) {
    it(`ends with ${end} when ${step} is answered by event ${event}, status ${status}`, () => {
      const iser = new IserFixture();
      iser.reactor.onRdmaOpen = (peer) => {
        peer.script[step] = { event, status };
      };
      iser.connect();
      expect(iser.ended()?.end).to.equal(end);
      expectNothingLeft(iser);
    });
  }

  for (const step of ['resolveAddress', 'resolveRoute', 'connect'] as const) {
    it(`gives up after its own timeout when ${step} is never answered`, () => {
      const iser = new IserFixture();
      iser.reactor.onRdmaOpen = (peer) => {
        peer.script[step] = 'silent';
      };
      iser.connect();
      iser.timers.advance(14_999);
      expect(iser.events.ends).to.deep.equal([]);
      iser.timers.advance(1);
      expect(iser.ended()?.end).to.equal(ConnectionEnd.connectTimeout);
      expectNothingLeft(iser);
    });
  }

  it('ends with no-rdma-device when there is none', () => {
    const iser = new IserFixture();
    iser.reactor.rdmaOpen = () => {
      throw fakeNativeError('ENODEV', 19, 'rdma_create_id');
    };
    iser.connect();
    expect(iser.ended()?.end).to.equal(ConnectionEnd.noDevice);
    expectNothingLeft(iser);
  });

  it('ends with unreachable when the address cannot be resolved at all', () => {
    const iser = new IserFixture();
    iser.reactor.rdmaResolveAddress = () => {
      throw fakeNativeError('EINVAL', 22, 'rdma_resolve_addr');
    };
    iser.connect();
    expect(iser.ended()?.end).to.equal(ConnectionEnd.unreachable);
    expectNothingLeft(iser);
  });

  for (const registration of [0, 1]) {
    it(`ends when registration ${registration} of the connection's own memory fails`, () => {
      const iser = new IserFixture();
      let count = 0;
      const register = iser.reactor.registerMemory.bind(iser.reactor);
      iser.reactor.registerMemory = (...args) => {
        if (count++ === registration) iser.reactor.failRegistrations(1);
        return register(...args);
      };
      iser.connect();
      expect(iser.ended()?.end).to.equal(ConnectionEnd.internalError);
      expectNothingLeft(iser);
    });
  }

  it('ends when the pool has no memory for headers', () => {
    const iser = new IserFixture();
    iser.pool.failures = 1;
    iser.connect();
    expect(iser.ended()?.end).to.equal(ConnectionEnd.internalError);
    expectNothingLeft(iser);
  });

  it('ends when the pool has no memory for the full-feature receives', () => {
    const iser = new IserFixture().connect();
    iser.pool.failures = 1;
    iser.transport.prepareFullFeature(defaultParameters);
    expect(iser.ended()?.detail).to.equal('no buffer memory for receives');
    expectNothingLeft(iser);
  });

  it('lets an error that is not native through', () => {
    const iser = new IserFixture();
    iser.reactor.rdmaOpen = () => {
      throw new TypeError('a bug below');
    };
    expect(() => iser.connect()).to.throw('a bug below');
  });

  it('refuses a target that speaks before the login', () => {
    const iser = new IserFixture();
    iser.reactor.onRdmaOpen = (peer) => {
      peer.onConnect = () => {
        peer.send(iserMessage({ opcode: 0x20 }));
      };
    };
    iser.connect();
    expect(iser.ended()).to.deep.equal({
      end: 'protocol-error',
      detail: 'the target sent a PDU before the login',
    });
    expectNothingLeft(iser);
  });
});

describe('an iSER transport ending', () => {
  it('drains before it destroys the queue pair, and tells the session last', () => {
    const iser = new IserFixture().fullFeature();
    iser.command({ readLength: 4096 });
    iser.reactor.run();
    iser.peer.holdFlushes = true;
    iser.transport.disconnect(ConnectionEnd.nopTimeout, 'silent');
    iser.transport.disconnect(ConnectionEnd.requested, 'again');
    iser.reactor.run();
    expect(iser.peer.disconnectRequested).to.equal(true);
    expect(iser.strategy.live.size).to.equal(1);
    expect(iser.transport.state).to.equal('draining');
    iser.peer.holdFlushes = false;
    iser.peer.fail();
    iser.reactor.run();
    expect(iser.peer.queuePairState).to.equal('destroyed');
    expect(iser.strategy.released).to.have.length(1);
    expect(iser.events.ends).to.deep.equal([]);
    iser.timers.advance(0);
    expect(iser.events.ends).to.deep.equal([{ end: 'nop-timeout', detail: 'silent' }]);
    expectNothingLeft(iser);
  });

  it('waits at most two seconds for the drain', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.holdFlushes = true;
    iser.transport.disconnect(ConnectionEnd.requested, '');
    iser.timers.advance(1999);
    expect(iser.peer.queuePairState).to.equal('error');
    iser.timers.advance(1);
    expect(iser.peer.queuePairState).to.equal('destroyed');
    expect(iser.ended()?.end).to.equal(ConnectionEnd.requested);
    expectNothingLeft(iser);
  });

  it('calls rdmaDisconnect on DISCONNECTED, because that event flushes nothing', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.disconnect();
    expect(iser.ended()?.end).to.equal(ConnectionEnd.peerClosed);
    expect(iser.peer.disconnectRequested).to.equal(true);
    expect(iser.events.ends).to.have.length(1);
    expectNothingLeft(iser);
  });

  it('is not stopped by an rdmaDisconnect that fails', () => {
    const iser = new IserFixture().fullFeature();
    iser.reactor.rdmaDisconnect = () => {
      throw fakeNativeError('EINVAL', 22, 'rdma_disconnect');
    };
    iser.peer.cmEvent(FakeCmEvent.deviceRemoval);
    iser.reactor.run();
    iser.timers.advance(2000);
    expect(iser.ended()?.end).to.equal(ConnectionEnd.deviceRemoved);
    expectNothingLeft(iser);
  });

  it('tells whoever keeps registrations when it has let go of them, and whether the device is going', () => {
    for (const deviceRemoved of [false, true]) {
      const iser = new IserFixture().fullFeature();
      iser.command({ readLength: 4096 });
      iser.peer.cmEvent(deviceRemoved ? FakeCmEvent.deviceRemoval : FakeCmEvent.disconnected);
      iser.ended();
      const [{ domain }] = iser.domainsLeft;
      expect(iser.domainsLeft).to.deep.equal([{ domain, deviceRemoved, inUse: 0 }]);
    }
  });

  it('hears of the removal of its device also when it has lost its peer before', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.cmEvent(FakeCmEvent.disconnected);
    iser.peer.cmEvent(FakeCmEvent.deviceRemoval);
    expect(iser.ended()?.end).to.equal(ConnectionEnd.peerClosed);
    expect(iser.domainsLeft[0]).to.include({ deviceRemoved: true });
  });

  it('hears what the target said in the login before it disconnected, whichever is reported first', () => {
    const iser = new IserFixture().connect();
    const itt = iser.itt(iser.queue(0x03));
    iser.reactor.run();
    iser.events.hooks.onPdu = () => {
      iser.transport.disconnect(ConnectionEnd.loginFailed, 'refused');
    };
    iser.peer.cmEvent(FakeCmEvent.disconnected);
    iser.peer.send(iserMessage({ opcode: 0x23, itt }));
    expect(iser.ended()?.end).to.equal(ConnectionEnd.peerClosed);
    expect(iser.events.pdus).to.have.lengthOf(1);
    expectNothingLeft(iser);
  });

  it('delivers nothing after the target has disconnected in the full feature phase', () => {
    const iser = new IserFixture().fullFeature();
    const itt = iser.itt(iser.queue(0x00));
    iser.reactor.run();
    iser.peer.cmEvent(FakeCmEvent.disconnected);
    iser.peer.send(iserMessage({ opcode: 0x20, itt }));
    iser.ended();
    expect(iser.events.pdus).to.deep.equal([]);
    expectNothingLeft(iser);
  });

  it('has no protection domain to leave when the address was never resolved', () => {
    const iser = new IserFixture();
    iser.reactor.onRdmaOpen = (peer) => {
      peer.script.resolveAddress = { event: FakeCmEvent.addrError, status: -110 };
    };
    iser.connect();
    iser.ended();
    expect(iser.domainsLeft).to.deep.equal([]);
  });

  it('ends with address-changed when the address moves', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.cmEvent(FakeCmEvent.addrChange);
    expect(iser.ended()?.end).to.equal(ConnectionEnd.addressChanged);
  });

  it('ignores events that end nothing', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.cmEvent(FakeCmEvent.timewaitExit);
    iser.peer.cmEvent(FakeCmEvent.addrResolved);
    iser.peer.cmEvent(FakeCmEvent.routeResolved);
    iser.peer.cmEvent(FakeCmEvent.established);
    iser.peer.deviceEvent(10);
    iser.reactor.run();
    expect(iser.transport.state).to.equal('established');
    expect(iser.events.connected).to.equal(1);
  });

  for (const [event, end] of [
    [8, ConnectionEnd.deviceRemoved],
    [1, ConnectionEnd.completionError],
    [0, ConnectionEnd.completionError],
  ] as const) {
    it(`ends with ${end} on device event ${event}`, () => {
      const iser = new IserFixture().fullFeature();
      iser.peer.deviceEvent(event);
      expect(iser.ended()?.end).to.equal(end);
      expectNothingLeft(iser);
    });
  }

  it('names the status of a SEND that fails', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.failSend(13, 7);
    iser.queue(0x00);
    expect(iser.ended()).to.deep.equal({
      end: 'completion-error',
      detail: 'SEND completed with RNR_RETRY_EXC_ERR, vendor error 7',
    });
    expectNothingLeft(iser);
  });

  it('names the status of a receive that fails', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.failReceive(1);
    expect(iser.ended()?.detail).to.equal('receive completed with LOC_LEN_ERR, vendor error 0');
    expectNothingLeft(iser);
  });

  it('takes the first failure that is not a flush as the cause', () => {
    const iser = new IserFixture().fullFeature();
    const tag = iser.queue(0x00);
    iser.reactor.run();
    iser.transport.disconnect = () => undefined;
    iser.queue(0x00);
    iser.reactor.holdCompletions(iser.peer.id);
    iser.peer.failSend(12);
    iser.reactor.run();
    iser.reactor.resumeCompletions(iser.peer.id, 'reversed');
    expect(tag).to.be.at.least(0);
    expect(iser.ended()?.detail).to.contain('RETRY_EXC_ERR');
    expectNothingLeft(iser);
  });

  it('reports a flush when nothing else is heard', () => {
    const iser = new IserFixture().fullFeature();
    iser.peer.fail();
    expect(iser.ended()?.detail).to.contain('WR_FLUSH_ERR');
    expectNothingLeft(iser);
  });

  it('reports onClosed also when it never was connected', () => {
    const iser = new IserFixture();
    iser.transport.disconnect(ConnectionEnd.requested, '');
    iser.transport.connect({ address: '192.0.2.1', port: 3260 });
    expect(iser.events.ends).to.deep.equal([]);
    expect(iser.ended()?.end).to.equal(ConnectionEnd.requested);
    expectNothingLeft(iser);
  });

  it('touches nothing after disconnect: late calls of the session have no effect', () => {
    const iser = new IserFixture().fullFeature();
    const pdu = iser.transport.newPdu();
    iser.transport.disconnect(ConnectionEnd.requested, '');
    iser.transport.queuePdu(pdu);
    iser.transport.freePdu(pdu);
    iser.transport.prepareFullFeature(defaultParameters);
    expect(iser.transport.newPdu()).to.equal(-1);
    expect(iser.ended()?.end).to.equal(ConnectionEnd.requested);
    expectNothingLeft(iser);
  });
});
