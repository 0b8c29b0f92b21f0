import { expect } from 'chai';
import {
  FakeAccess,
  FakeAccessError,
  FakeCmEvent,
  FakeContractViolation,
  FakeReactor,
} from '../../../src/reactor/fake-reactor.ts';
import type { RdmaSink } from '../../../src/reactor/reactor.ts';

class RecordingRdmaSink implements RdmaSink {
  readonly lines: string[] = [];

  onCmEvent(event: number, status: number): void {
    this.lines.push(`cm ${event} status ${status}`);
  }

  onRdmaSent(tag: number, status: number): void {
    this.lines.push(`sent ${tag} status ${status}`);
  }

  onRdmaReceived(tag: number, length: number, status: number): void {
    this.lines.push(`received ${tag} length ${length} status ${status}`);
  }

  onDeviceEvent(event: number): void {
    this.lines.push(`device ${event}`);
  }
}

const bytes = (...values: number[]) => Uint8Array.from(values);
const parameters = {
  responderResources: 4,
  initiatorDepth: 0,
  retryCount: 6,
  rnrRetryCount: 7,
  privateData: bytes(0xc0, 0, 0, 0),
};

function open() {
  const fake = new FakeReactor({ arenaBytes: 64 * 1024 });
  const sink = new RecordingRdmaSink();
  const connection = fake.rdmaOpen(sink);
  return { fake, sink, connection, peer: fake.rdmaPeers[0] };
}

function connected() {
  const opened = open();
  const { fake, sink, connection } = opened;
  fake.rdmaResolveAddress(connection, '192.0.2.1', 3260);
  fake.run();
  const domain = fake.rdmaCreateQueuePair(connection, {
    sendDepth: 4,
    receiveDepth: 4,
    maxInline: 0,
  });
  fake.rdmaResolveRoute(connection);
  fake.run();
  const region = fake.registerMemory(domain, 0, 8192, FakeAccess.localWrite);
  fake.rdmaConnect(connection, parameters);
  fake.run();
  const connectLines = sink.lines.splice(0);
  return { ...opened, domain, region, connectLines };
}

describe('fake reactor: RDMA connection manager', () => {
  it('walks through address, route and connect', () => {
    const { connectLines, peer } = connected();
    expect(connectLines).to.deep.equal(['cm 0 status 0', 'cm 2 status 0', 'cm 9 status 0']);
    expect(peer.address).to.equal('192.0.2.1');
    expect(peer.connectParameters).to.equal(parameters);
    expect(peer.queuePairState).to.equal('ready');
  });

  it('answers as scripted', () => {
    const { fake, sink, connection, peer } = open();
    peer.script.resolveAddress = { event: FakeCmEvent.addrError, status: -110 };
    fake.rdmaResolveAddress(connection, '192.0.2.1', 3260);
    fake.run();
    expect(sink.lines).to.deep.equal(['cm 1 status -110']);
  });

  it('can stay silent', () => {
    const { fake, sink, connection, peer } = open();
    peer.script.resolveAddress = 'silent';
    fake.rdmaResolveAddress(connection, '192.0.2.1', 3260);
    fake.run();
    expect(sink.lines).to.deep.equal([]);
  });

  it('lets a test script each connection as it is opened', () => {
    const fake = new FakeReactor();
    let opened = 0;
    fake.onRdmaOpen = () => opened++;
    fake.rdmaOpen(new RecordingRdmaSink());
    expect(opened).to.equal(1);
  });

  it('delivers CM and device events at any time', () => {
    const { fake, sink, peer } = connected();
    peer.disconnect();
    peer.cmEvent(FakeCmEvent.deviceRemoval);
    peer.deviceEvent(10);
    fake.run();
    expect(sink.lines).to.deep.equal(['cm 10 status 0', 'cm 11 status 0', 'device 10']);
  });

  it('refuses connecting twice or without a queue pair', () => {
    const { fake, connection } = open();
    expect(() => {
      fake.rdmaConnect(connection, parameters);
    }).to.throw(FakeContractViolation, 'QP none');
    const limits = { sendDepth: 1, receiveDepth: 1, maxInline: 0 };
    fake.rdmaCreateQueuePair(connection, limits);
    expect(() => fake.rdmaCreateQueuePair(connection, limits)).to.throw(FakeContractViolation);
    fake.rdmaConnect(connection, parameters);
    expect(() => {
      fake.rdmaConnect(connection, parameters);
    }).to.throw(FakeContractViolation, 'twice');
  });
});

describe('fake reactor: RDMA work requests', () => {
  it('delivers SENDs of both segments and completes them', () => {
    const { fake, sink, connection, peer, region } = connected();
    fake.arena.bytes.set(bytes(1, 2, 3), 0);
    fake.arena.bytes.set(bytes(4), 100);
    fake.rdmaSend(connection, 5, 0, 3, region.lkey, 100, 1, region.lkey);
    fake.run();
    expect([...peer.takeSend()]).to.deep.equal([1, 2, 3, 4]);
    expect(() => peer.takeSend()).to.throw('no SEND');
    expect(sink.lines).to.deep.equal(['sent 5 status 0']);
  });

  it('can deliver the answer before the completion of the SEND', () => {
    const { fake, sink, connection, peer, region } = connected();
    peer.holdSendCompletions = true;
    peer.onSend = () => {
      peer.send(bytes(7));
    };
    fake.rdmaReceive(connection, 1, 4096, 128, region.lkey);
    fake.rdmaSend(connection, 2, 0, 3, region.lkey, 0, 0, 0);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 1 length 1 status 0']);
    expect(peer.outstandingSends).to.equal(1);
    peer.completeSends();
    fake.run();
    expect(sink.lines[1]).to.equal('sent 2 status 0');
    expect(fake.arena.bytes[4096]).to.equal(7);
  });

  it('keeps a SEND that finds no receive, and counts it', () => {
    const { fake, sink, connection, peer, region } = connected();
    peer.send(bytes(1, 2));
    expect(peer.receiverNotReady).to.equal(1);
    fake.rdmaReceive(connection, 9, 0, 16, region.lkey);
    expect(peer.postedReceives).to.equal(1);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 9 length 2 status 0']);
  });

  it('fails a receive that is too small and flushes the rest', () => {
    const { fake, sink, connection, peer, region } = connected();
    fake.rdmaReceive(connection, 1, 0, 2, region.lkey);
    fake.rdmaReceive(connection, 2, 64, 2, region.lkey);
    peer.send(bytes(1, 2, 3));
    fake.run();
    expect(sink.lines).to.deep.equal([
      'received 1 length 0 status 1',
      'received 2 length 0 status 5',
    ]);
  });

  it('fails a SEND as scripted, then flushes', () => {
    const { fake, sink, connection, peer, region } = connected();
    peer.failSend(12, 0x81);
    fake.rdmaReceive(connection, 1, 4096, 16, region.lkey);
    fake.rdmaSend(connection, 2, 0, 1, region.lkey, 0, 0, 0);
    fake.rdmaSend(connection, 3, 0, 1, region.lkey, 0, 0, 0);
    fake.run();
    expect(sink.lines).to.deep.equal([
      'sent 2 status 12',
      'sent 3 status 5',
      'received 1 length 0 status 5',
    ]);
  });

  it('fails a posted receive as scripted', () => {
    const { fake, sink, connection, peer, region } = connected();
    expect(() => {
      peer.failReceive(9);
    }).to.throw('no receive');
    fake.rdmaReceive(connection, 1, 4096, 16, region.lkey);
    peer.failReceive(9);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 1 length 0 status 9']);
  });

  it('flushes on disconnect and later posts too, then reports DISCONNECTED', () => {
    const { fake, sink, connection, peer, region } = connected();
    fake.rdmaReceive(connection, 1, 0, 16, region.lkey);
    fake.rdmaDisconnect(connection);
    fake.rdmaReceive(connection, 2, 64, 16, region.lkey);
    fake.rdmaSend(connection, 3, 128, 16, region.lkey, 0, 0, 0);
    fake.run();
    expect(peer.disconnectRequested).to.equal(true);
    expect(sink.lines).to.deep.equal([
      'received 1 length 0 status 5',
      'cm 10 status 0',
      'received 2 length 0 status 5',
      'sent 3 status 5',
    ]);
  });

  it('can hold flushes for ever', () => {
    const { fake, sink, connection, peer, region } = connected();
    fake.rdmaReceive(connection, 1, 0, 16, region.lkey);
    peer.holdFlushes = true;
    peer.fail();
    fake.run();
    expect(sink.lines).to.deep.equal([]);
  });

  it('swallows SENDs into a black hole', () => {
    const { fake, sink, connection, peer, region } = connected();
    peer.blackHole = true;
    fake.rdmaSend(connection, 1, 0, 16, region.lkey, 0, 0, 0);
    fake.run();
    expect(sink.lines).to.deep.equal([]);
    fake.rdmaDisconnect(connection);
    fake.run();
    expect(sink.lines).to.deep.equal(['sent 1 status 5', 'cm 10 status 0']);
  });

  it('touches nothing after close', () => {
    const { fake, sink, connection, peer, region } = connected();
    let closed = false;
    peer.onClosed = () => (closed = true);
    fake.rdmaReceive(connection, 1, 0, 16, region.lkey);
    fake.rdmaSend(connection, 2, 100, 16, region.lkey, 0, 0, 0);
    fake.close(connection);
    fake.run();
    expect(sink.lines).to.deep.equal([]);
    expect(closed).to.equal(true);
    expect(() => {
      peer.send(bytes(1));
    }).to.throw(FakeAccessError);
    fake.deregisterMemory(region.id);
    expect(fake.leaks()).to.deep.equal([]);
  });

  it('refuses overlapping receives', () => {
    const { fake, connection, region } = connected();
    fake.rdmaReceive(connection, 1, 0, 128, region.lkey);
    expect(() => {
      fake.rdmaReceive(connection, 2, 64, 128, region.lkey);
    }).to.throw(FakeContractViolation, 'overlaps');
  });

  it('refuses more work requests than the queue pair holds', () => {
    const { fake, connection, region } = connected();
    for (let i = 0; i < 4; i++) {
      fake.rdmaReceive(connection, i, i * 64, 64, region.lkey);
      fake.rdmaSend(connection, i, 4096, 64, region.lkey, 0, 0, 0);
    }
    expect(() => {
      fake.rdmaReceive(connection, 4, 1024, 64, region.lkey);
    }).to.throw(FakeContractViolation, 'receives posted');
    expect(() => {
      fake.rdmaSend(connection, 4, 4096, 64, region.lkey, 0, 0, 0);
    }).to.throw(FakeContractViolation, 'SENDs posted');
  });

  it('refuses work requests before their time', () => {
    const { fake, connection } = open();
    const region = fake.registerMemory(1, 0, 4096, FakeAccess.localWrite);
    expect(() => {
      fake.rdmaSend(connection, 1, 0, 16, region.lkey, 0, 0, 0);
    }).to.throw(FakeContractViolation, 'QP none');
    expect(() => {
      fake.rdmaReceive(connection, 1, 64, 16, region.lkey);
    }).to.throw(FakeContractViolation, 'without a queue pair');
  });

  it('refuses wrong local keys', () => {
    const { fake, connection, region, domain } = connected();
    expect(() => {
      fake.rdmaSend(connection, 1, 0, 16, 4242, 0, 0, 0);
    }).to.throw(FakeContractViolation, 'not registered');
    expect(() => {
      fake.rdmaSend(connection, 1, 8190, 16, region.lkey, 0, 0, 0);
    }).to.throw(FakeContractViolation, 'outside its region');
    const readOnly = fake.registerMemory(domain, 0, 4096, FakeAccess.remoteRead);
    expect(() => {
      fake.rdmaReceive(connection, 1, 0, 16, readOnly.lkey);
    }).to.throw(FakeContractViolation, 'needs access');
  });
});

describe('fake reactor: registered memory', () => {
  it('lets the peer read and write what is registered for it', () => {
    const { fake, peer, domain } = connected();
    const { remoteRead, remoteWrite } = FakeAccess;
    const region = fake.registerMemory(domain, 4096, 4096, remoteRead | remoteWrite);
    const address = fake.arena.base + 4100n;
    peer.rdmaWrite(region.rkey, address, bytes(1, 2, 3));
    expect([...fake.arena.bytes.subarray(4100, 4103)]).to.deep.equal([1, 2, 3]);
    expect([...peer.rdmaRead(region.rkey, address, 3)]).to.deep.equal([1, 2, 3]);
  });

  it('refuses the peer what lies outside, is not allowed or no longer registered', () => {
    const { fake, peer, domain } = connected();
    const region = fake.registerMemory(domain, 4096, 4096, FakeAccess.remoteRead);
    const base = fake.arena.base;
    expect(() => peer.rdmaRead(region.rkey, base + 8190n, 3)).to.throw(FakeAccessError, 'outside');
    expect(() => {
      peer.rdmaWrite(region.rkey, base + 4096n, bytes(1));
    }).to.throw(FakeAccessError, 'needs 4');
    fake.deregisterMemory(region.id);
    expect(() => peer.rdmaRead(region.rkey, base + 4096n, 3)).to.throw(
      FakeAccessError,
      'not registered',
    );
  });

  it('notices a peer that writes into memory in other use', () => {
    const { fake, peer, domain } = connected();
    const region = fake.registerMemory(domain, 0, 4096, FakeAccess.remoteWrite);
    const stream = fake.openStream(fake.streamPair().fd, {
      onConnected: () => undefined,
      onReceived: () => undefined,
      onSent: () => undefined,
    });
    fake.receive(stream, 64, 1, 64);
    const write = (offset: bigint) => {
      peer.rdmaWrite(region.rkey, fake.arena.base + offset, bytes(1, 2));
    };
    write(62n);
    expect(() => {
      write(63n);
    }).to.throw(FakeContractViolation, 'into a stream receive');
    fake.memory.checkRemoteWrites = false;
    write(63n);
    expect(fake.arena.bytes[64]).to.equal(2);
  });

  it('refuses the peer everything once the queue pair is in error', () => {
    const { fake, peer, domain, connection } = connected();
    const region = fake.registerMemory(domain, 0, 4096, FakeAccess.remoteRead);
    fake.rdmaDisconnect(connection);
    expect(() => peer.rdmaRead(region.rkey, fake.arena.base, 1)).to.throw(
      FakeAccessError,
      'state error',
    );
  });

  it('fails registrations as scripted and at the pinning limit', () => {
    const fake = new FakeReactor();
    fake.failRegistrations(1);
    expect(() => fake.registerMemory(1, 0, 4096, 1))
      .to.throw('ENOMEM')
      .with.property('errno', 12);
    fake.memory.pinnedLimitBytes = 8192;
    fake.registerMemory(1, 0, 8192, 1);
    expect(() => fake.registerMemory(1, 8192, 1, 1)).to.throw('ENOMEM');
    expect(fake.memory.registrations).to.equal(1);
  });

  it('refuses to deregister twice or under a posted work request', () => {
    const { fake, connection, region } = connected();
    fake.rdmaReceive(connection, 1, 0, 16, region.lkey);
    expect(() => {
      fake.deregisterMemory(region.id);
    }).to.throw(FakeContractViolation, 'uses it');
    fake.close(connection);
    fake.deregisterMemory(region.id);
    expect(() => {
      fake.deregisterMemory(region.id);
    }).to.throw(FakeContractViolation, 'not registered');
  });

  it('tells what the device allows', () => {
    expect(new FakeReactor().rdmaDeviceLimits().maxQpReadAtomic).to.equal(16);
  });
});
