import { expect } from 'chai';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NativeReactor } from '../../../src/reactor/native-reactor.ts';
import { loadNative } from '../../../src/reactor/native.ts';
import type { RdmaSink } from '../../../src/reactor/reactor.ts';
import {
  connectPeer,
  openReactor,
  RecordingSink,
  turn,
  type ReactorFixture,
} from './native-reactor-harness.ts';

const { errno } = constants;
const silentRdmaSink: RdmaSink = {
  onCmEvent: () => undefined,
  onRdmaSent: () => undefined,
  onRdmaReceived: () => undefined,
  onDeviceEvent: () => undefined,
};

const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

async function ended(peer: Socket): Promise<void> {
  if (!peer.resume().closed) await once(peer, 'close');
}

describe('native reactor', () => {
  const { system } = loadNative();
  let fixture: ReactorFixture;

  beforeEach(() => {
    fixture = openReactor({ capacity: 4 });
  });

  afterEach(() => {
    fixture.close();
  });

  /** Two streams of the same reactor, each other's peer. */
  function openPair(sendBufferSize = 0): [number, RecordingSink, number, RecordingSink] {
    const [one, two] = system.socketPair(sendBufferSize);
    const [a, b] = [new RecordingSink(), new RecordingSink()];
    return [fixture.reactor.openStream(one, a), a, fixture.reactor.openStream(two, b), b];
  }

  it('echoes between two streams of a socket pair', async () => {
    const [a, sinkA, b, sinkB] = openPair();
    sinkB.react = (kind, length) => {
      if (kind === 'received') fixture.reactor.send(b, 0, 1000, length, 0, 0, false);
    };
    fixture.put(0, 'ping');
    fixture.reactor.receive(a, 2000, 4, 4);
    fixture.reactor.receive(b, 1000, 4, 4);
    fixture.reactor.send(a, 0, 0, 4, 0, 0, false);
    await sinkA.wait('received');
    expect(fixture.text(2000, 4)).to.equal('ping');
  });

  it('carries more submissions than the array holds, in order', async () => {
    const [a, sinkA, b, sinkB] = openPair();
    fixture.put(0, '0123456789');
    fixture.reactor.receive(b, 100, 10, 10);
    for (let i = 0; i < 10; i++) fixture.reactor.send(a, i, i, 1, 0, 0, true);
    await sinkA.wait('sent', 10);
    await sinkB.wait('received');
    expect(fixture.text(100, 10)).to.equal('0123456789');
    expect(sinkA.of('sent').map(([tag]) => tag)).to.deep.equal([...Array(10).keys()]);
  });

  it('delivers more completions than the array holds, in several batches', async () => {
    const [a, sinkA] = openPair();
    let batches = 0;
    fixture.reactor.addBatchEndListener(() => batches++);
    for (let i = 0; i < 10; i++) fixture.reactor.send(a, i, 0, 1, 0, 0, true);
    await sinkA.wait('sent', 10);
    expect(batches).to.equal(3);
  });

  it('never completes synchronously what is submitted outside a dispatch', async () => {
    const [a, sinkA] = openPair();
    for (let i = 0; i < 5; i++) fixture.reactor.send(a, i, 0, 1, 0, 0, true);
    expect(sinkA.events).to.deep.equal([]);
    await Promise.resolve();
    expect(sinkA.events).to.deep.equal([]);
    await sinkA.wait('sent', 5);
  });

  it('lets timers run while every dispatch submits anew', async () => {
    const [a, , b, sinkB] = openPair();
    let stop = false;
    let rounds = 0;
    const again = (): void => {
      fixture.reactor.receive(b, 100, 1, 1);
      fixture.reactor.send(a, 0, 0, 1, 0, 0, false);
    };
    sinkB.react = () => {
      rounds++;
      if (!stop) again();
    };
    again();
    // More than one turn of the loop takes at a time.
    while (rounds <= 16) await new Promise((resolve) => setTimeout(resolve, 1));
    stop = true;
  });

  it('reports a send that went out at once together with what comes next', async () => {
    const [a, sinkA, b, sinkB] = openPair();
    let batches = 0;
    fixture.reactor.addBatchEndListener(() => batches++);
    fixture.reactor.receive(b, 100, 1, 1);
    fixture.reactor.send(a, 7, 0, 1, 0, 0, true);
    await sinkB.wait('received');
    expect(sinkA.of('sent')).to.deep.equal([[7, 0]]);
    expect(batches).to.equal(1);
  });

  it('reports a large send without waiting for anything else', async () => {
    const large = 64 * 1024 + 1;
    const [a, sinkA] = openPair(2 * large);
    fixture.reactor.send(a, 7, 0, large, 0, 0, true);
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(sinkA.of('sent')).to.deep.equal([[7, 0]]);
  });

  it('calls batch-end listeners after the dispatch and submits what they queue', async () => {
    const [a, sinkA, b, sinkB] = openPair();
    const order: string[] = [];
    sinkA.react = () => order.push('sent');
    const flush = (): void => {
      if (order.at(-1) !== 'sent') return;
      order.push('end');
      fixture.reactor.send(a, 1, 4, 4, 0, 0, false);
    };
    fixture.reactor.addBatchEndListener(flush);
    fixture.put(0, 'one!two!');
    fixture.reactor.receive(b, 100, 8, 8);
    fixture.reactor.send(a, 0, 0, 4, 0, 0, true);
    await sinkB.wait('received');
    expect(order).to.deep.equal(['sent', 'end']);
    expect(fixture.text(100, 8)).to.equal('one!two!');
    fixture.reactor.removeBatchEndListener(flush);
    fixture.reactor.send(a, 2, 0, 4, 0, 0, true);
    await sinkA.wait('sent', 2);
    expect(order).to.deep.equal(['sent', 'end', 'sent']);
  });

  it('carries out what a promise queued during a dispatch in a later batch, not over what the dispatch queued', async () => {
    const [a, sinkA, b, sinkB] = openPair();
    fixture.put(0, 'abcd');
    sinkA.react = (_kind, tag) => {
      if (tag !== 0) return;
      void Promise.resolve().then(() => {
        fixture.reactor.send(a, 2, 2, 1, 0, 0, true);
      });
      fixture.reactor.send(a, 1, 1, 1, 0, 0, true);
    };
    fixture.reactor.receive(b, 100, 3, 3);
    fixture.reactor.send(a, 0, 0, 1, 0, 0, true);
    await sinkA.wait('sent', 3);
    await sinkB.wait('received');
    expect(fixture.text(100, 3)).to.equal('abc');
  });

  it('reports a sink that throws, and dispatches the rest of the batch', async () => {
    const [a, sinkA] = openPair();
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const thrown = once(process, 'uncaughtException');
    sinkA.react = (_kind, tag) => {
      if (tag === 0) throw new Error('sink bug');
    };
    fixture.reactor.send(a, 0, 0, 1, 0, 0, true);
    fixture.reactor.send(a, 1, 0, 1, 0, 0, true);
    const [error] = (await thrown) as [Error];
    for (const listener of listeners) process.on('uncaughtException', listener);
    expect(error.message).to.equal('sink bug');
    await sinkA.wait('sent', 2);
  });

  it('refuses operations on an object of another kind', async () => {
    const native = loadNative();
    let seen: number[] = [];
    const done = new Promise<void>((resolve) => {
      const reactor = new native.Reactor(fixture.arena, 4, (count) => {
        seen = [...reactor.completions.subarray(0, count * 8)];
        reactor.close();
        resolve();
        return 0;
      });
      const [fd, peer] = system.socketPair(0);
      system.closeFd(peer);
      const stream = reactor.openStream(fd);
      reactor.submissions.set([3, stream, 9]);
      reactor.submit(1);
    });
    await done;
    expect(seen.slice(2, 5)).to.deep.equal([9, 0, errno.EOPNOTSUPP]);
    expect(seen[0]).to.equal(5);
  });

  it('closes everything from within a dispatch', async () => {
    const [a, sinkA, b, sinkB] = openPair();
    sinkA.react = () => {
      fixture.reactor.closeAll();
      fixture.reactor.send(b, 1, 0, 1, 0, 0, true);
    };
    fixture.reactor.receive(b, 100, 1, 1);
    fixture.reactor.send(a, 0, 0, 1, 0, 0, true);
    await sinkA.wait('sent');
    for (let i = 0; i < 3; i++) await turn();
    expect(sinkB.events).to.deep.equal([]);
    fixture.reactor.closeAll();
    fixture.reactor.close(a);
  });

  it('throws when it is used after it was closed', () => {
    fixture.reactor.closeAll();
    const { reactor } = fixture;
    for (const use of [
      () => reactor.connectStream('127.0.0.1', 1, new RecordingSink()),
      () => reactor.openStream(0, new RecordingSink()),
      () => reactor.openListener(0, new RecordingSink()),
      () => reactor.rdmaOpen(silentRdmaSink),
      () => reactor.rdmaDeviceLimits(1),
      () => reactor.registerMemory(1, 0, 4096, 1),
      () => {
        reactor.deregisterMemory(1);
      },
    ])
      expect(use)
        .to.throw(/reactor is closed/)
        .with.property('code', 'EBADF');
  });

  it('refuses a capacity it cannot give', () => {
    const native = loadNative();
    for (const capacity of [0, 65537])
      expect(
        () => new NativeReactor({ native, arena: fixture.arena, capacity, spinMicroseconds: 0 }),
      ).to.throw(/capacity/);
  });

  it('polls before it sleeps when it has a spin budget', async () => {
    const spinning = openReactor({ spinMicroseconds: 200 });
    const { stream, sink, peer } = await connectPeer(spinning.reactor);
    for (let i = 1; i <= 5; i++) {
      spinning.reactor.receive(stream, 0, 1, 1);
      peer.write('x');
      await sink.wait('received', i);
    }
    peer.destroy();
    spinning.close();
  });

  it('loses nothing while it gathers, however many sockets are ready at once', async () => {
    const gathering = openReactor();
    gathering.reactor.gathering = true;
    gathering.put(1000, 'x');
    const sinks: RecordingSink[] = [];
    for (let i = 0; i < 100; i++) {
      const [one, two] = system.socketPair(0);
      const sink = new RecordingSink();
      const stream = gathering.reactor.openStream(one, sink);
      const other = gathering.reactor.openStream(two, new RecordingSink());
      gathering.reactor.receive(stream, i, 1, 1);
      gathering.reactor.send(other, 0, 1000, 1, 0, 0, false);
      sinks.push(sink);
    }
    const received = await Promise.all(sinks.map((sink) => sink.wait('received')));
    expect(received).to.deep.equal(sinks.map(() => [1, 0]));
    expect(gathering.text(0, 100)).to.equal('x'.repeat(100));
    gathering.close();
  });

  it('says clearly that there is no RDMA device, or opens a connection', () => {
    try {
      fixture.reactor.close(fixture.reactor.rdmaOpen(silentRdmaSink));
    } catch (error) {
      expect((error as Error).message).to.match(/no RDMA device/);
      expect(error).to.have.property('syscall', 'rdma_create_event_channel');
    }
  });

  it('throws for RDMA calls on what is no RDMA connection', () => {
    const [a] = openPair();
    const { reactor } = fixture;
    const parameters = {
      responderResources: 1,
      initiatorDepth: 1,
      retryCount: 1,
      rnrRetryCount: 1,
      privateData: new Uint8Array(4),
    };
    for (const use of [
      () => {
        reactor.rdmaResolveAddress(a, '127.0.0.1', 3260, 10);
      },
      () => reactor.rdmaCreateQueuePair(a, { sendDepth: 1, receiveDepth: 1, maxInline: 0 }),
      () => {
        reactor.rdmaResolveRoute(a, 10);
      },
      () => {
        reactor.rdmaConnect(a, parameters);
      },
      () => {
        reactor.rdmaDisconnect(a);
      },
    ])
      expect(use).to.throw(/no such RDMA connection/);
    expect(() => reactor.rdmaDeviceLimits(5)).to.throw(/no such protection domain/);
    expect(() => reactor.registerMemory(5, 0, 1, 1)).to.throw(/no such protection domain/);
    expect(() => {
      reactor.deregisterMemory(5);
    }).to.throw(/no such memory region/);
  });

  it('does not tell a stream of RDMA work requests posted to it', async () => {
    const [a, sinkA] = openPair();
    fixture.reactor.rdmaReceive(a, 1, 0, 1, 0);
    fixture.reactor.rdmaSend(a, 2, 0, 1, 0, 0, 0, 0);
    fixture.reactor.send(a, 3, 0, 1, 0, 0, true);
    expect(await sinkA.wait('sent')).to.deep.equal([3, 0]);
  });

  describe('listener', () => {
    let directory: string;
    let path: string;

    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), 'reactor-'));
      path = join(directory, 'socket');
    });

    afterEach(() => {
      rmSync(directory, { recursive: true });
    });

    it('hands over every accepted descriptor', async () => {
      const listening = new RecordingSink();
      fixture.reactor.openListener(system.listenUnix(path, 0o600, 64), listening);
      const peers = Array.from({ length: 40 }, () => connect(path));
      await listening.wait('accepted', peers.length);
      const received = new RecordingSink();
      const [fd, status] = listening.of('accepted')[0];
      expect(status).to.equal(0);
      const stream = fixture.reactor.openStream(fd, received);
      fixture.reactor.receive(stream, 0, 2, 2);
      for (const peer of peers) peer.write('hi');
      await received.wait('received');
      expect(fixture.text(0, 2)).to.equal('hi');
      for (const [other] of listening.of('accepted').slice(1)) system.closeFd(other);
      for (const peer of peers) peer.destroy();
    });

    it('accepts nothing more once closed, and leaks no descriptor that waited', async () => {
      const before = openDescriptors();
      const listening = new RecordingSink();
      const listener = fixture.reactor.openListener(system.listenUnix(path, 0o600, 64), listening);
      const peers = Array.from({ length: 10 }, () => connect(path));
      for (const peer of peers) peer.on('error', () => undefined);
      listening.react = (_kind, fd) => {
        system.closeFd(fd);
        fixture.reactor.close(listener);
      };
      await listening.wait('accepted');
      await Promise.all(peers.map(ended));
      await turn();
      expect(listening.of('accepted').length).to.equal(1);
      expect(openDescriptors()).to.equal(before);
    });

    it('leaks no accepted descriptor when everything is closed in a dispatch', async () => {
      const listening = new RecordingSink();
      fixture.reactor.openListener(system.listenUnix(path, 0o600, 64), listening);
      listening.react = (_kind, fd) => {
        system.closeFd(fd);
        fixture.reactor.closeAll();
      };
      const peers = Array.from({ length: 3 }, () => connect(path));
      await listening.wait('accepted');
      await Promise.all(peers.map(ended));
      expect(listening.of('accepted').length).to.equal(1);
    });
  });
});
