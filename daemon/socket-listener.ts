/** Where NBD clients come in: Unix sockets, TCP of this machine, TLS. The main thread or the TLS relay accepts; lanes serve. */
import { lstatSync, rmSync } from 'node:fs';
import { defaultLimits, defaultMaximumClients } from '../src/nbd/limits.ts';
import { NbdListener } from '../src/nbd/listener.ts';
import { openReactor, type OpenReactor } from '../src/reactor/open.ts';
import type { Reactor } from '../src/reactor/reactor.ts';
import { system } from './system.ts';
import type { TlsFiles } from './tls/material.ts';
import { TlsRelay } from './tls/relay.ts';

export interface UnixPlace {
  readonly path: string;
  /** Of the file; default 0600. */
  readonly mode?: number;
  /** Group of the file, by name. */
  readonly group?: string;
}

export interface TcpPlace {
  /** Numeric. */
  readonly address: string;
  readonly port: number;
  readonly tls?: TlsFiles;
}

/** A path of mode 0600, a listening fd that was passed to us (whose path is not ours to remove), or one of the above. */
export type ListenPlace = string | number | UnixPlace | TcpPlace;

export interface SocketListener {
  /** A client that came by this listener is gone. */
  clientClosed(): void;
  /** Resolves when the place is free for somebody else. */
  close(): Promise<void>;
}

const backlog = 64;
const ownersOnly = 0o600;
/** Accepting needs no buffers, only a reactor. */
const arenaBytes = 2 ** 16;
const batchCapacity = 64;

/** All listeners of the daemon, on one small reactor and, for TLS, one relay. */
export class SocketListeners {
  #maximumClients: number;
  readonly #onAcceptError: (errno: number) => void;
  readonly #relay: TlsRelay;
  #open: OpenReactor | undefined;

  /**
   * `onAcceptError` is told when clients can no longer be accepted, until one can again; `onTlsTrouble` what people should know of the
   * TLS relay.
   */
  constructor(
    maximumClients = defaultMaximumClients,
    onAcceptError: (errno: number) => void = () => undefined,
    onTlsTrouble: (message: string) => void = () => undefined,
  ) {
    this.#maximumClients = maximumClients;
    this.#onAcceptError = onAcceptError;
    this.#relay = new TlsRelay({
      maximumClients,
      handshakeMs: defaultLimits.handshakeMs,
      onTrouble: onTlsTrouble,
    });
  }

  /** Clients that a listener has at a time; for those that come from now on. */
  set maximumClients(count: number) {
    this.#maximumClients = count;
    this.#relay.maximumClients = count;
  }

  listen(where: ListenPlace, onConnection: (fd: number) => void): SocketListener {
    if (typeof where === 'number') return this.#accept(where, onConnection);
    if (typeof where === 'string') return this.#listenUnix({ path: where }, onConnection);
    return 'path' in where
      ? this.#listenUnix(where, onConnection)
      : this.#listenTcp(where, onConnection);
  }

  close(): void {
    this.#relay.close();
    this.#open?.close();
    this.#open = undefined;
  }

  #listenUnix(
    { path, mode = ownersOnly, group }: UnixPlace,
    onConnection: (fd: number) => void,
  ): SocketListener {
    const fd = system.listenUnix(path, mode, backlog, group);
    const made = lstatSync(path).ino;
    return this.#accept(fd, onConnection, () => {
      removeOwn(path, made);
    });
  }

  #listenTcp({ address, port, tls }: TcpPlace, onConnection: (fd: number) => void): SocketListener {
    const fd = system.listenTcp(address, port, backlog);
    if (tls === undefined) return this.#accept(fd, onConnection);
    try {
      // The relay counts its clients itself.
      return {
        clientClosed: () => undefined,
        close: this.#relay.listen(fd, tls, onConnection),
      };
    } catch (error) {
      system.closeFd(fd);
      throw error;
    }
  }

  #accept(
    fd: number,
    onConnection: (fd: number) => void,
    afterClose: () => void = () => undefined,
  ): SocketListener {
    const maximumClients = (): number => this.#maximumClients;
    const listener = new NbdListener(fd, {
      reactor: this.#getReactor(),
      get maximumClients() {
        return maximumClients();
      },
      onConnection,
      onAcceptError: this.#onAcceptError,
    });
    return {
      clientClosed: () => {
        listener.clientClosed();
      },
      close: () => {
        listener.close();
        afterClose();
        return Promise.resolve();
      },
    };
  }

  #getReactor(): Reactor {
    this.#open ??= openReactor({ arenaBytes, batchCapacity });
    return this.#open.reactor;
  }
}

/** Removes a socket's file, unless somebody has removed it already or a successor has put its own there. */
export function removeOwn(path: string, inode: number): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
}
