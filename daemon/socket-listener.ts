/** Unix sockets on which NBD clients come in. The main thread accepts; lanes serve. */
import { NbdListener } from '../src/nbd/listener.ts';
import { openReactor, type OpenReactor } from '../src/reactor/open.ts';
import type { Reactor } from '../src/reactor/reactor.ts';
import { rmSync } from 'node:fs';
import { system } from './system.ts';

export interface SocketListener {
  /** A client that came by this listener is gone. */
  clientClosed(): void;
  close(): void;
}

const maximumClients = 128;
const backlog = 64;
const socketMode = 0o600;
/** Accepting needs no buffers, only a reactor. */
const arenaBytes = 2 ** 16;
const batchCapacity = 64;

/** All listeners of the daemon, on one small reactor. */
export class SocketListeners {
  #open: OpenReactor | undefined;

  /** @param where a path, or a listening fd that was passed to us (whose path is not ours to remove). */
  listen(where: string | number, onConnection: (fd: number) => void): SocketListener {
    const fd = typeof where === 'number' ? where : system.listenUnix(where, socketMode, backlog);
    const listener = new NbdListener(fd, {
      reactor: this.#getReactor(),
      maximumClients,
      onConnection,
    });
    return {
      clientClosed: () => {
        listener.clientClosed();
      },
      close: () => {
        listener.close();
        // Forced: somebody may have cleaned the directory, and stopping goes on.
        if (typeof where === 'string') rmSync(where, { force: true });
      },
    };
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
  }

  #getReactor(): Reactor {
    this.#open ??= openReactor({ arenaBytes, batchCapacity });
    return this.#open.reactor;
  }
}
