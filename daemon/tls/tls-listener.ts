import { createServer as createTcpServer, Socket, type Server } from 'node:net';
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from 'node:tls';
import { assert } from '../../src/errors.ts';
import { forget } from '../config/secret.ts';
import { system } from '../system.ts';
import type { RelayEvent, RelayListener } from './messages.ts';
import { greetingLength, serverGreeting } from '../../src/nbd/greeting.ts';
import { StartTls } from './starttls.ts';

/** Of the sockets between relay and lane. */
const bufferBytes = 256 * 1024;

/**
 * One TCP listener: NBD_OPT_STARTTLS, TLS with a client certificate, and then bytes to and fro between the client and a socket that
 * a lane serves. Copies everything twice: a lane's data path is for sockets without TLS.
 */
export class TlsListener {
  readonly #listener: RelayListener;
  readonly #emit: (event: RelayEvent) => void;
  readonly #tcp: Server;
  readonly #tls: TlsServer;
  #maximumClients: number;
  readonly #sockets = new Set<Socket>();
  /** Clients whose handshake is over, by address and port. */
  readonly #served = new Set<string>();
  /** What clients have said of themselves before TLS, by address and port: the TLS server makes sockets of its own. */
  readonly #clientFlags = new Map<string, Uint8Array>();

  constructor(listener: RelayListener, emit: (event: RelayEvent) => void) {
    this.#listener = listener;
    this.#maximumClients = listener.maximumClients;
    this.#emit = emit;
    this.#tls = createTlsServer({
      cert: Buffer.from(listener.certificate),
      key: Buffer.from(listener.key.buffer, listener.key.byteOffset, listener.key.length),
      ca: Buffer.from(listener.clientCa),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.2',
      handshakeTimeout: listener.handshakeMs,
    });
    forget(listener.key);
    this.#tls.on('tlsClientError', (error, socket) => {
      this.#refuse(socket, error.message);
    });
    this.#tls.on('secureConnection', (socket) => {
      this.#serve(socket);
    });
    this.#tcp = createTcpServer((socket) => {
      this.#negotiate(socket);
    });
    this.#tcp.on('error', (error) => {
      emit({ event: 'refused', listener: listener.listener, reason: error.message });
    });
    this.#tcp.listen({ fd: listener.fd });
  }

  /** For clients that come from now on. */
  set maximumClients(count: number) {
    this.#maximumClients = count;
  }

  /** No more clients. Those that are served stay until their volume lets them go. */
  close(): void {
    this.#tcp.close();
    for (const socket of this.#sockets) if (!this.#served.has(peerOf(socket))) socket.destroy();
  }

  #negotiate(socket: Socket): void {
    if (this.#sockets.size >= this.#maximumClients) {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    const peer = peerOf(socket);
    const timer = setTimeout(() => {
      this.#refuse(socket, 'handshake-timeout');
    }, this.#listener.handshakeMs);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(timer);
      this.#sockets.delete(socket);
      this.#clientFlags.delete(peer);
      this.#served.delete(peer);
    });
    const engine = new StartTls();
    const onData = (bytes: Buffer): void => {
      const step = engine.receive(bytes);
      if (step.output.length > 0) socket.write(step.output);
      if (step.kind === 'more') return;
      clearTimeout(timer);
      socket.off('data', onData);
      if (step.kind === 'close') {
        socket.end();
        this.#refuse(socket, step.reason);
        return;
      }
      socket.pause();
      this.#clientFlags.set(peer, step.clientFlags);
      // As if the client had come straight to the TLS server, which does the rest: handshake, certificate, time limit.
      this.#tls.emit('connection', socket);
    };
    socket.on('data', onData);
    socket.write(serverGreeting());
  }

  #serve(client: TLSSocket): void {
    client.on('error', () => client.destroy());
    const peer = peerOf(client);
    const clientFlags = this.#clientFlags.get(peer);
    assert(clientFlags !== undefined, 'a client that is secure has sent its flags');
    this.#served.add(peer);
    const [ours, lanes] = system.socketPair(bufferBytes);
    const local = new Socket({ fd: ours });
    local.on('error', () => local.destroy());
    local.on('close', () => client.destroy());
    client.on('close', () => local.destroy());
    // The lane greets a client that has been greeted already, and waits for flags that have been sent.
    this.#skipGreeting(local, () => {
      client.pipe(local);
      local.pipe(client);
    });
    local.write(clientFlags);
    this.#emit({ event: 'client', listener: this.#listener.listener, fd: lanes });
  }

  #skipGreeting(local: Socket, then: () => void): void {
    let left = greetingLength;
    const onData = (bytes: Buffer): void => {
      const skipped = Math.min(left, bytes.length);
      left -= skipped;
      if (left > 0) return;
      local.off('data', onData);
      local.pause();
      if (skipped < bytes.length) local.unshift(bytes.subarray(skipped));
      then();
    };
    local.on('data', onData);
  }

  #refuse(socket: Socket, reason: string): void {
    socket.destroySoon();
    this.#emit({ event: 'refused', listener: this.#listener.listener, reason });
  }
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}
