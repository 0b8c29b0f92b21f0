import { expect } from 'chai';
import { once } from 'node:events';
import { constants } from 'node:os';
import type { Socket } from 'node:net';
import { endOfFile } from '../../../src/reactor/layout.ts';
import {
  connectPeer,
  openReactor,
  RecordingSink,
  turn,
  type ConnectedPeer,
  type ReactorFixture,
} from './native-reactor-harness.ts';

const { errno } = constants;

/** Reads exactly `length` bytes; the peer must not send more. */
function readBytes(peer: Socket, length: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let total = 0;
    peer.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      total += chunk.length;
      if (total < length) return;
      peer.removeAllListeners('data').pause();
      resolve(Buffer.concat(chunks));
    });
    peer.resume();
  });
}

describe('native stream', () => {
  let fixture: ReactorFixture;
  let connected: ConnectedPeer;

  beforeEach(async () => {
    fixture = openReactor();
    connected = await connectPeer(fixture.reactor);
  });

  afterEach(() => {
    connected.peer.destroy();
    fixture.close();
  });

  it('receives into the arena what the peer sent', async () => {
    const { stream, sink, peer } = connected;
    fixture.reactor.receive(stream, 4096, 1, 100);
    peer.write('hello');
    expect(await sink.wait('received')).to.deep.equal([5, 0]);
    expect(fixture.text(4096, 5)).to.equal('hello');
  });

  it('completes a receive only when minimumLength bytes are in', async () => {
    const { stream, sink, peer } = connected;
    fixture.reactor.receive(stream, 0, 8, 100);
    peer.write('12345');
    await new Promise((resolve) => peer.write('', resolve));
    for (let i = 0; i < 20; i++) await turn();
    expect(sink.of('received')).to.deep.equal([]);
    peer.write('678');
    expect(await sink.wait('received')).to.deep.equal([8, 0]);
    expect(fixture.text(0, 8)).to.equal('12345678');
  });

  it('leaves bytes beyond maximumLength for the next receive', async () => {
    const { stream, sink, peer } = connected;
    fixture.reactor.receive(stream, 0, 4, 4);
    peer.write('abcdefgh');
    expect(await sink.wait('received')).to.deep.equal([4, 0]);
    fixture.reactor.receive(stream, 100, 4, 4);
    expect(await sink.wait('received', 2)).to.deep.equal([4, 0]);
    expect(fixture.text(100, 4)).to.equal('efgh');
  });

  it('sends both segments of several sends in order', async () => {
    const { stream, sink, peer } = connected;
    fixture.put(0, 'head');
    fixture.put(512, 'payload');
    fixture.reactor.send(stream, 1, 0, 4, 512, 7, false);
    fixture.reactor.send(stream, 2, 512, 3, 0, 0, true);
    expect(await sink.wait('sent')).to.deep.equal([2, 0]);
    expect((await readBytes(peer, 14)).toString()).to.equal('headpayloadpay');
  });

  it('is silent about a successful send without notify', async () => {
    const { stream, sink } = connected;
    fixture.reactor.send(stream, 1, 0, 4, 0, 0, false);
    fixture.reactor.send(stream, 2, 0, 4, 0, 0, true);
    await sink.wait('sent');
    expect(sink.of('sent')).to.deep.equal([[2, 0]]);
  });

  it('completes an empty send in its place', async () => {
    const { stream, sink } = connected;
    fixture.reactor.send(stream, 1, 0, 0, 0, 0, true);
    fixture.reactor.send(stream, 2, 0, 4, 0, 0, true);
    fixture.reactor.send(stream, 3, 0, 0, 0, 0, true);
    await sink.wait('sent', 3);
    expect(sink.of('sent').map(([tag]) => tag)).to.deep.equal([1, 2, 3]);
  });

  it('continues partial sends until a slow reader has taken everything', async () => {
    const { stream, sink, peer } = connected;
    const bytes = Buffer.from(fixture.arena.buffer);
    for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32BE(i, i);
    const rounds = 32; // 16 MiB: far more than both socket buffers hold
    const half = bytes.length / 2;
    for (let i = 0; i < rounds; i++)
      fixture.reactor.send(stream, i, 0, half, half, i === rounds - 1 ? half : 0, true);
    for (let i = 0; i < 10; i++) await turn();
    expect(sink.of('sent').length).to.be.lessThan(rounds);
    const received = await readBytes(peer, (rounds + 1) * half);
    expect(received.length).to.equal((rounds + 1) * half);
    for (let i = 0; i < rounds; i++)
      expect(received.subarray(i * half).compare(bytes, 0, half, 0, half)).to.equal(0);
    expect(received.subarray(rounds * half).equals(bytes.subarray(half))).to.equal(true);
    await sink.wait('sent', rounds);
    expect(sink.of('sent').map(([tag]) => tag)).to.deep.equal([...Array(rounds).keys()]);
  });

  it('sends more segments in one batch than one sendmsg takes', async () => {
    const { stream, sink, peer } = connected;
    fixture.put(0, 'ab');
    for (let i = 0; i < 3000; i++) fixture.reactor.send(stream, i, 0, 1, 1, 1, i === 2999);
    expect(await sink.wait('sent')).to.deep.equal([2999, 0]);
    expect((await readBytes(peer, 6000)).toString()).to.equal('ab'.repeat(3000));
  });

  it('reports the end of the stream, with the bytes before it', async () => {
    const { stream, sink, peer } = connected;
    fixture.reactor.receive(stream, 0, 10, 10);
    peer.end('bye');
    expect(await sink.wait('received')).to.deep.equal([3, endOfFile]);
    fixture.reactor.receive(stream, 0, 10, 10);
    expect(await sink.wait('received', 2)).to.deep.equal([0, endOfFile]);
  });

  it('reports a reset to the receive and to every later send', async () => {
    const { stream, sink, peer } = connected;
    fixture.reactor.receive(stream, 0, 10, 10);
    peer.resetAndDestroy();
    expect(await sink.wait('received')).to.deep.equal([0, errno.ECONNRESET]);
    fixture.reactor.send(stream, 7, 0, 4, 0, 0, false);
    expect(await sink.wait('sent')).to.deep.equal([7, errno.EPIPE]);
    fixture.reactor.send(stream, 8, 0, 4, 0, 0, false);
    expect(await sink.wait('sent', 2)).to.deep.equal([8, errno.EPIPE]);
  });

  it('fails every queued send when the peer goes away', async () => {
    const { stream, sink, peer } = connected;
    const half = fixture.reactor.arena.sizeBytes / 2;
    for (let i = 0; i < 40; i++) fixture.reactor.send(stream, i, 0, half, 0, 0, true);
    await sink.wait('sent');
    peer.resetAndDestroy();
    await sink.wait('sent', 40);
    expect(sink.of('sent').map(([tag]) => tag)).to.deep.equal([...Array(40).keys()]);
    expect(sink.of('sent')[39][1]).to.be.oneOf([errno.ECONNRESET, errno.EPIPE]);
  });

  it('refuses a range outside the arena without touching memory', async () => {
    const { stream, sink } = connected;
    const size = fixture.reactor.arena.sizeBytes;
    fixture.reactor.receive(stream, size - 4, 1, 5);
    expect(await sink.wait('received')).to.deep.equal([0, errno.EFAULT]);
    fixture.reactor.send(stream, 1, size, 1, 0, 0, false);
    fixture.reactor.send(stream, 2, 0, 1, 0xffffffff, 0xffffffff, false);
    await sink.wait('sent', 2);
    expect(sink.of('sent')).to.deep.equal([
      [1, errno.EFAULT],
      [2, errno.EFAULT],
    ]);
  });

  it('refuses an empty receive and one whose minimum exceeds its length', async () => {
    const { stream, sink } = connected;
    fixture.reactor.receive(stream, 0, 1, 0);
    fixture.reactor.receive(stream, 0, 9, 8);
    await sink.wait('received', 2);
    expect(sink.of('received')).to.deep.equal([
      [0, errno.EINVAL],
      [0, errno.EINVAL],
    ]);
  });

  it('refuses a second receive while one is pending', async () => {
    const { stream, sink } = connected;
    fixture.reactor.receive(stream, 0, 1, 8);
    fixture.reactor.receive(stream, 8, 1, 8);
    expect(await sink.wait('received')).to.deep.equal([0, errno.EBUSY]);
  });

  it('reports nothing for a stream that was closed with a receive pending', async () => {
    const { stream, sink, peer } = connected;
    fixture.reactor.receive(stream, 0, 1, 8);
    await turn();
    fixture.reactor.close(stream);
    peer.resume();
    await once(peer, 'close');
    expect(sink.of('received')).to.deep.equal([]);
    expect(fixture.reactor.openObjects).to.equal(0);
  });

  it('drops completions that were waiting when their stream was closed', async () => {
    const { stream, sink } = connected;
    fixture.reactor.send(stream, 1, 0, 4, 0, 0, true);
    await Promise.resolve(); // the flush has run: the completion waits for a turn
    fixture.reactor.close(stream);
    for (let i = 0; i < 3; i++) await turn();
    expect(sink.of('sent')).to.deep.equal([]);
  });

  it('drops what later entries of a batch say about a stream closed in it', async () => {
    const { stream, sink } = connected;
    sink.react = () => {
      fixture.reactor.close(stream);
    };
    fixture.reactor.send(stream, 1, 0, 4, 0, 0, true);
    fixture.reactor.send(stream, 2, 0, 4, 0, 0, true);
    await sink.wait('sent');
    for (let i = 0; i < 3; i++) await turn();
    expect(sink.of('sent')).to.deep.equal([[1, 0]]);
  });

  it('does not let an old id reach the object that has its place', async () => {
    const { stream } = connected;
    fixture.reactor.close(stream);
    const second = await connectPeer(fixture.reactor);
    expect(second.stream).not.to.equal(stream);
    expect(second.stream & 0xffff).to.equal(stream & 0xffff);
    fixture.reactor.close(stream);
    fixture.reactor.send(stream, 1, 0, 4, 0, 0, true);
    fixture.reactor.send(second.stream, 2, 0, 4, 0, 0, true);
    expect(await second.sink.wait('sent')).to.deep.equal([2, 0]);
    second.peer.destroy();
  });

  it('reports a refused connect', async () => {
    const sink = new RecordingSink();
    const port = connected.peer.localPort;
    expect(port).to.be.a('number'); // its server is closed: nobody listens
    fixture.reactor.connectStream('127.0.0.1', port!, sink);
    expect(await sink.wait('connected')).to.deep.equal([errno.ECONNREFUSED]);
  });

  it('fails sends and receives that wait for a refused connect', async () => {
    const sink = new RecordingSink();
    const stream = fixture.reactor.connectStream('127.0.0.1', connected.peer.localPort!, sink);
    fixture.reactor.send(stream, 5, 0, 4, 0, 0, false);
    fixture.reactor.receive(stream, 0, 1, 4);
    expect(await sink.wait('sent')).to.deep.equal([5, errno.ECONNREFUSED]);
    expect((await sink.wait('received'))[0]).to.equal(0);
  });

  it('throws for a name instead of an address', () => {
    expect(() => fixture.reactor.connectStream('localhost', 3260, new RecordingSink()))
      .to.throw(/not a numeric address/)
      .with.property('code', 'EINVAL');
  });

  it('throws for a descriptor that is not open', () => {
    expect(() => fixture.reactor.openStream(100000, new RecordingSink()))
      .to.throw()
      .with.property('code', 'EBADF');
  });
});
