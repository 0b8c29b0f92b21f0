import { expect } from 'chai';
import { FakeContractViolation, FakeReactor } from '../../../src/reactor/fake-reactor.ts';
import { endOfFile } from '../../../src/reactor/layout.ts';
import type { StreamSink } from '../../../src/reactor/reactor.ts';

const kibibyte = 1024;

/** Writes down every completion as a line. */
class RecordingStreamSink implements StreamSink {
  readonly lines: string[] = [];
  onReceive: (() => void) | undefined;

  onConnected(errno: number): void {
    this.lines.push(`connected ${errno}`);
  }

  onReceived(length: number, status: number): void {
    this.lines.push(`received ${length} status ${status}`);
    this.onReceive?.();
  }

  onSent(tag: number, status: number): void {
    this.lines.push(`sent ${tag} status ${status}`);
  }
}

function openPair() {
  const fake = new FakeReactor({ arenaBytes: 64 * kibibyte });
  const { fd, peer } = fake.streamPair();
  const sink = new RecordingStreamSink();
  const stream = fake.openStream(fd, sink);
  return { fake, peer, sink, stream };
}

const bytes = (...values: number[]) => Uint8Array.from(values);

describe('fake reactor: streams', () => {
  it('delivers nothing before run', () => {
    const { fake, peer, sink, stream } = openPair();
    fake.receive(stream, 0, 1, 16);
    peer.write(bytes(1, 2, 3));
    expect(sink.lines).to.deep.equal([]);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 3 status 0']);
    expect([...fake.arena.bytes.subarray(0, 4)]).to.deep.equal([1, 2, 3, 0]);
  });

  it('waits for the minimum length', () => {
    const { fake, peer, sink, stream } = openPair();
    fake.receive(stream, 8, 4, 16);
    peer.write(bytes(1, 2, 3));
    fake.run();
    expect(sink.lines).to.deep.equal([]);
    peer.write(bytes(4, 5));
    fake.run();
    expect(sink.lines).to.deep.equal(['received 5 status 0']);
  });

  it('keeps what does not fit for the next receive', () => {
    const { fake, peer, sink, stream } = openPair();
    peer.write(bytes(1, 2, 3, 4, 5));
    fake.receive(stream, 0, 1, 3);
    fake.run();
    fake.receive(stream, 0, 1, 3);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 3 status 0', 'received 2 status 0']);
    expect([...fake.arena.bytes.subarray(0, 2)]).to.deep.equal([4, 5]);
  });

  it('cuts what arrives into chunks', () => {
    const { fake, peer, sink, stream } = openPair();
    peer.maximumChunk = 1;
    peer.write(bytes(1, 2, 3));
    sink.onReceive = () => {
      if (sink.lines.length < 2) fake.receive(stream, 0, 2, 16);
    };
    fake.receive(stream, 0, 1, 16);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 1 status 0', 'received 2 status 0']);
  });

  it('reports the end of file with the bytes before it', () => {
    const { fake, peer, sink, stream } = openPair();
    peer.write(bytes(1, 2));
    peer.end();
    fake.receive(stream, 0, 4, 16);
    fake.run();
    expect(sink.lines).to.deep.equal([`received 2 status ${endOfFile}`]);
  });

  it('delivers whole messages before the end of file', () => {
    const { fake, peer, sink, stream } = openPair();
    peer.write(bytes(1, 2));
    peer.end();
    fake.receive(stream, 0, 1, 16);
    fake.run();
    fake.receive(stream, 0, 1, 16);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 2 status 0', `received 0 status ${endOfFile}`]);
  });

  it('fails receives and sends with the errno of a broken stream', () => {
    const { fake, peer, sink, stream } = openPair();
    fake.receive(stream, 0, 1, 16);
    peer.write(bytes(1));
    peer.error(104);
    fake.send(stream, 7, 100, 4, 0, 0, false);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 0 status 104', 'sent 7 status 104']);
  });

  it('gathers both segments of sends in order and reports only those with notify', () => {
    const { fake, peer, sink, stream } = openPair();
    fake.arena.bytes.set(bytes(1, 2, 3, 4, 5, 6), 0);
    fake.send(stream, 1, 0, 2, 4, 2, false);
    fake.send(stream, 2, 2, 1, 0, 0, true);
    fake.run();
    expect([...peer.take()]).to.deep.equal([1, 2, 5, 6, 3]);
    expect(sink.lines).to.deep.equal(['sent 2 status 0']);
    expect(fake.violations).to.deep.equal([]);
  });

  it('holds sends back while the peer does not read', () => {
    const { fake, peer, sink, stream } = openPair();
    fake.arena.bytes.set(bytes(1, 2, 3, 4), 0);
    peer.pauseReading(3);
    fake.send(stream, 1, 0, 4, 0, 0, true);
    fake.run();
    expect([...peer.received]).to.deep.equal([1, 2, 3]);
    expect(sink.lines).to.deep.equal([]);
    peer.resumeReading();
    fake.run();
    expect([...peer.take()]).to.deep.equal([1, 2, 3, 4]);
    expect(sink.lines).to.deep.equal(['sent 1 status 0']);
  });

  it('lets a scripted peer answer when bytes arrive', () => {
    const { fake, peer, sink, stream } = openPair();
    peer.onBytes = () => {
      peer.write(peer.take());
    };
    fake.arena.bytes.set(bytes(9, 8), 0);
    fake.receive(stream, 100, 2, 2);
    fake.send(stream, 1, 0, 2, 0, 0, false);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 2 status 0']);
    expect([...fake.arena.bytes.subarray(100, 102)]).to.deep.equal([9, 8]);
  });

  it('fails sends with EPIPE when the peer has closed', () => {
    const { fake, peer, sink, stream } = openPair();
    peer.close();
    fake.send(stream, 3, 0, 1, 0, 0, false);
    fake.run();
    expect(sink.lines).to.deep.equal(['sent 3 status 32']);
  });

  it('reports nothing after close', () => {
    const { fake, peer, sink, stream } = openPair();
    let closed = 0;
    peer.onClosed = () => closed++;
    fake.receive(stream, 0, 1, 16);
    peer.write(bytes(1));
    fake.close(stream);
    fake.run();
    expect(sink.lines).to.deep.equal([]);
    expect(closed).to.equal(1);
    expect(peer.closed).to.equal(true);
    expect(fake.leaks()).to.deep.equal([]);
  });

  it('refuses a second receive on a stream', () => {
    const { fake, stream } = openPair();
    fake.receive(stream, 0, 1, 16);
    expect(() => {
      fake.receive(stream, 100, 1, 16);
    }).to.throw(FakeContractViolation, 'already posted');
    expect(fake.violations).to.have.length(1);
  });

  it('refuses an impossible minimum length', () => {
    const { fake, stream } = openPair();
    expect(() => {
      fake.receive(stream, 0, 17, 16);
    }).to.throw(FakeContractViolation, '17 to 16');
  });

  it('refuses memory outside the arena', () => {
    const { fake, stream } = openPair();
    expect(() => {
      fake.receive(stream, 64 * kibibyte - 8, 1, 16);
    }).to.throw(FakeContractViolation, 'outside the arena');
  });

  it('refuses a receive into memory that is being sent', () => {
    const { fake, stream } = openPair();
    fake.send(stream, 1, 0, 32, 0, 0, true);
    expect(() => {
      fake.receive(stream, 16, 1, 16);
    }).to.throw(FakeContractViolation, 'overlaps');
  });

  it('notices memory that changes under a send', () => {
    const { fake, stream } = openPair();
    fake.send(stream, 1, 0, 32, 0, 0, true);
    fake.arena.bytes[31] = 1;
    expect(() => fake.run()).to.throw(FakeContractViolation, 'byte 31 changed');
  });

  it('refuses the use of a closed stream', () => {
    const { fake, stream } = openPair();
    fake.close(stream);
    expect(() => {
      fake.send(stream, 1, 0, 1, 0, 0, false);
    }).to.throw(FakeContractViolation, 'not open');
    expect(() => {
      fake.close(stream);
    }).to.throw(FakeContractViolation, 'not open');
  });
});

describe('fake reactor: listeners and connects', () => {
  it('hands accepted sockets to the listener', () => {
    const fake = new FakeReactor();
    const socket = fake.listenerSocket();
    const accepted: number[] = [];
    const listener = fake.openListener(socket.fd, {
      onAccepted: (fd, errno) => accepted.push(fd, errno),
    });
    const peer = socket.connect();
    fake.run();
    expect(accepted[1]).to.equal(0);
    const sink = new RecordingStreamSink();
    const stream = fake.openStream(accepted[0], sink);
    peer.write(bytes(5));
    fake.receive(stream, 0, 1, 1);
    fake.run();
    expect(sink.lines).to.deep.equal(['received 1 status 0']);
    fake.close(listener);
    expect(() => socket.connect()).to.throw('nobody listens');
  });

  it('reports accept failures', () => {
    const fake = new FakeReactor();
    const socket = fake.listenerSocket();
    const accepted: number[] = [];
    fake.openListener(socket.fd, { onAccepted: (fd, errno) => accepted.push(fd, errno) });
    socket.fail(24);
    fake.run();
    expect(accepted).to.deep.equal([-1, 24]);
  });

  it('counts an accepted fd that nobody opened as a leak until it is closed', () => {
    const fake = new FakeReactor();
    const { fd, peer } = fake.streamPair();
    expect(fake.leaks()).to.deep.equal([`fd ${fd} was never opened`]);
    fake.closeFd(fd);
    expect(fake.leaks()).to.deep.equal([]);
    expect(peer.closed).to.equal(true);
    expect(() => {
      fake.closeFd(fd);
    }).to.throw(FakeContractViolation);
  });

  it('refuses fds it does not know', () => {
    const fake = new FakeReactor();
    expect(() => fake.openStream(3, new RecordingStreamSink())).to.throw(FakeContractViolation);
    expect(() => fake.openListener(3, { onAccepted: () => undefined })).to.throw(
      FakeContractViolation,
    );
  });

  it('refuses connects unless a script accepts them', () => {
    const fake = new FakeReactor();
    const sink = new RecordingStreamSink();
    fake.connectStream('192.0.2.1', 3260, sink);
    fake.run();
    expect(sink.lines).to.deep.equal(['connected 111']);
  });

  it('connects when the script accepts, also later', () => {
    const fake = new FakeReactor();
    const sink = new RecordingStreamSink();
    let accept: (() => void) | undefined;
    fake.onConnectStream = (attempt) => {
      expect(`${attempt.address}:${attempt.port}`).to.equal('192.0.2.1:3260');
      accept = () => {
        attempt.accept().write(bytes(1));
      };
    };
    const stream = fake.connectStream('192.0.2.1', 3260, sink);
    fake.run();
    expect(sink.lines).to.deep.equal([]);
    accept?.();
    fake.receive(stream, 0, 1, 1);
    fake.run();
    expect(sink.lines).to.deep.equal(['connected 0', 'received 1 status 0']);
  });
});

describe('fake reactor: batches', () => {
  it('calls batch-end listeners after each batch, and not without one', () => {
    const { fake, peer, sink, stream } = openPair();
    const listener = () => sink.lines.push('batch end');
    fake.addBatchEndListener(listener);
    fake.run();
    expect(sink.lines).to.deep.equal([]);
    fake.receive(stream, 0, 1, 1);
    peer.write(bytes(1));
    fake.runTurn();
    expect(sink.lines).to.deep.equal(['received 1 status 0', 'batch end']);
    fake.removeBatchEndListener(listener);
    expect(() => {
      fake.removeBatchEndListener(listener);
    }).to.throw(FakeContractViolation);
  });

  it('puts what a completion queues into the next batch', () => {
    const { fake, peer, sink, stream } = openPair();
    fake.addBatchEndListener(() => sink.lines.push('batch end'));
    sink.onReceive = () => {
      if (sink.lines.length < 3) fake.receive(stream, 0, 1, 1);
    };
    peer.write(bytes(1, 2));
    fake.receive(stream, 0, 1, 1);
    expect(fake.run()).to.equal(2);
    expect(sink.lines).to.deep.equal([
      'received 1 status 0',
      'batch end',
      'received 1 status 0',
      'batch end',
    ]);
  });

  it('refuses run from within a completion', () => {
    const { fake, peer, sink, stream } = openPair();
    sink.onReceive = () => fake.run();
    peer.write(bytes(1));
    fake.receive(stream, 0, 1, 1);
    expect(() => fake.run()).to.throw(FakeContractViolation, 'within a completion');
  });

  it('holds completions and lets them go reversed', () => {
    const { fake, sink, stream } = openPair();
    fake.holdCompletions(stream);
    fake.send(stream, 1, 0, 1, 0, 0, true);
    fake.send(stream, 2, 0, 1, 0, 0, true);
    fake.run();
    expect(sink.lines).to.deep.equal([]);
    fake.resumeCompletions(stream, 'reversed');
    fake.run();
    expect(sink.lines).to.deep.equal(['sent 2 status 0', 'sent 1 status 0']);
  });

  it('settles promises and completions together', async () => {
    const { fake, peer, sink, stream } = openPair();
    fake.receive(stream, 0, 1, 1);
    peer.write(bytes(1, 2));
    sink.onReceive = () => {
      if (sink.lines.length === 1) {
        void Promise.resolve().then(() => {
          fake.receive(stream, 0, 1, 1);
        });
      }
    };
    await fake.settle();
    expect(sink.lines).to.have.length(2);
  });

  it('closes everything with closeAll', () => {
    const { fake } = openPair();
    fake.openListener(fake.listenerSocket().fd, { onAccepted: () => undefined });
    fake.registerMemory(1, 0, 4096, 1);
    expect(fake.openObjects).to.equal(2);
    fake.closeAll();
    expect(fake.openObjects).to.equal(0);
    expect(fake.leaks()).to.deep.equal([]);
  });
});
