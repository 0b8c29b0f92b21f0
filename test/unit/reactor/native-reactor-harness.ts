/** What the tests of the native reactor share: a reactor on a small arena, sinks that record, and peers by Node's own sockets. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { NativeReactor } from '../../../src/reactor/native-reactor.ts';
import { loadNative, type NativeArena } from '../../../src/reactor/native.ts';
import type { ListenerSink, ObjectId, StreamSink } from '../../../src/reactor/reactor.ts';

export interface ReactorFixture {
  readonly reactor: NativeReactor;
  readonly arena: NativeArena;
  /** The string in the arena at `offset`. */
  text(offset: number, length: number): string;
  put(offset: number, text: string): number;
  close(): void;
}

export function openReactor(
  options: { capacity?: number; sizeBytes?: number; spinMicroseconds?: number } = {},
): ReactorFixture {
  const native = loadNative();
  const arena = new native.Arena(options.sizeBytes ?? 1 << 20, false);
  const reactor = new NativeReactor({
    native,
    arena,
    capacity: options.capacity ?? 64,
    spinMicroseconds: options.spinMicroseconds ?? 0,
  });
  const bytes = Buffer.from(arena.buffer);
  return {
    reactor,
    arena,
    text: (offset, length) => bytes.toString('latin1', offset, offset + length),
    put: (offset, text) => bytes.write(text, offset, 'latin1'),
    close: () => {
      reactor.closeAll();
      arena.close();
    },
  };
}

/** Records every call and lets a test wait for the n-th call of one kind. */
export class RecordingSink implements StreamSink, ListenerSink {
  readonly events: [string, ...number[]][] = [];
  readonly #counts = new Map<string, number>();
  #waiters: { kind: string; count: number; resolve: () => void }[] = [];
  /** Called after each recorded event, inside the dispatch. */
  react: ((kind: string, ...values: number[]) => void) | undefined;

  onConnected(errno: number): void {
    this.#record('connected', errno);
  }
  onReceived(length: number, status: number): void {
    this.#record('received', length, status);
  }
  onSent(tag: number, status: number): void {
    this.#record('sent', tag, status);
  }
  onAccepted(fd: number, errno: number): void {
    this.#record('accepted', fd, errno);
  }

  of(kind: string): number[][] {
    return this.events.filter(([name]) => name === kind).map(([, ...values]) => values);
  }

  /** Resolves with the values of the `count`-th event of this kind. */
  async wait(kind: string, count = 1): Promise<number[]> {
    if (this.#count(kind) < count) {
      await new Promise<void>((resolve) => this.#waiters.push({ kind, count, resolve }));
    }
    return this.of(kind)[count - 1];
  }

  #record(kind: string, ...values: number[]): void {
    this.events.push([kind, ...values]);
    this.#counts.set(kind, this.#count(kind) + 1);
    const ready = this.#waiters.filter((waiter) => this.#count(waiter.kind) >= waiter.count);
    this.#waiters = this.#waiters.filter((waiter) => !ready.includes(waiter));
    for (const waiter of ready) waiter.resolve();
    this.react?.(kind, ...values);
  }

  #count(kind: string): number {
    return this.#counts.get(kind) ?? 0;
  }
}

export interface ConnectedPeer {
  readonly stream: ObjectId;
  readonly sink: RecordingSink;
  /** The other end, by Node. */
  readonly peer: Socket;
  readonly server: Server;
}

/** A stream of the reactor and, as its peer, a socket of Node's over TCP loopback. */
export async function connectPeer(reactor: NativeReactor): Promise<ConnectedPeer> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const sink = new RecordingSink();
  const stream = reactor.connectStream('127.0.0.1', (server.address() as AddressInfo).port, sink);
  const [errno] = await sink.wait('connected');
  if (errno !== 0) throw new Error(`connect: errno ${errno}`);
  const [peer] = await accepted;
  server.close();
  peer.on('error', () => undefined);
  return { stream, sink, peer, server };
}

/** A later turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
