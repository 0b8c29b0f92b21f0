import { assert } from '../errors.ts';
import type { ListenerSink, ObjectId, Reactor, StreamSink } from '../reactor/reactor.ts';

export interface NbdListenerOptions {
  readonly reactor: Reactor;
  /** Clients at a time; one more is accepted and closed at once. */
  readonly maximumClients: number;
  /** A client's socket, now the callee's to own. `clientClosed` must follow when it is closed. */
  onConnection(fd: number): void;
  /** accept(2) failed, for instance for want of file descriptors; the listener goes on. */
  onAcceptError?(errno: number): void;
}

/** A listening socket of NBD clients. */
export class NbdListener implements ListenerSink {
  readonly #options: NbdListenerOptions;
  readonly #object: ObjectId;
  #open = true;
  clients = 0;
  /** Clients that were turned away because there were too many. */
  refused = 0;

  /** Takes over the listening socket `fd`. */
  constructor(fd: number, options: NbdListenerOptions) {
    this.#options = options;
    this.#object = options.reactor.openListener(fd, this);
  }

  /** A client that came by `onConnection` is gone. */
  clientClosed(): void {
    assert(this.clients > 0, 'more NBD clients closed than accepted');
    this.clients--;
  }

  onAccepted(fd: number, errno: number): void {
    const { reactor, maximumClients } = this.#options;
    if (errno !== 0) {
      this.#options.onAcceptError?.(errno);
    } else if (this.clients >= maximumClients) {
      this.refused++;
      turnAway(reactor, fd);
    } else {
      this.clients++;
      this.#options.onConnection(fd);
    }
  }

  /** No more clients. Those that are there stay. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#options.reactor.close(this.#object);
  }
}

/** Opening hands the fd to the reactor, closing closes it; when opening fails it is closed already. */
function turnAway(reactor: Reactor, fd: number): void {
  let stream: ObjectId;
  try {
    stream = reactor.openStream(fd, nobody);
  } catch {
    return;
  }
  reactor.close(stream);
}

const nobody: StreamSink = {
  onConnected: () => undefined,
  onReceived: () => undefined,
  onSent: () => undefined,
};
