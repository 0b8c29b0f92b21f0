import { assert } from '../errors.ts';
import { systemTimers, type Timers } from '../timers.ts';
import type { ListenerSink, ObjectId, Reactor, StreamSink } from '../reactor/reactor.ts';

export interface NbdListenerOptions {
  readonly reactor: Reactor;
  /** Clients at a time; one more is accepted and closed at once. */
  readonly maximumClients: number;
  /** A client's socket, now the callee's to own. `clientClosed` must follow when it is closed. */
  onConnection(fd: number): void;
  /**
   * accept(2) has failed, for instance for want of file descriptors. Told once until a client is accepted again; meanwhile the
   * listener tries again.
   */
  onAcceptError?(errno: number): void;
  /** Default: the system's. */
  readonly timers?: Timers;
}

/** Descriptors are freed by other threads, which tell nobody. */
const acceptRetryMs = 500;

/** A listening socket of NBD clients. */
export class NbdListener implements ListenerSink {
  readonly #options: NbdListenerOptions;
  readonly #object: ObjectId;
  #open = true;
  #cancelRetry: (() => void) | undefined;
  /** `onAcceptError` has been told. */
  #failing = false;
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
    if (this.#failing) this.#options.reactor.descriptorFreed();
  }

  onAccepted(fd: number, errno: number): void {
    const { reactor, maximumClients } = this.#options;
    if (errno !== 0) {
      this.#retryLater(errno);
      return;
    }
    this.#failing = false;
    if (this.clients >= maximumClients) {
      this.refused++;
      turnAway(reactor, fd);
    } else {
      this.clients++;
      this.#options.onConnection(fd);
    }
  }

  #retryLater(errno: number): void {
    if (!this.#failing) this.#options.onAcceptError?.(errno);
    this.#failing = true;
    this.#cancelRetry ??= (this.#options.timers ?? systemTimers).schedule(acceptRetryMs, () => {
      this.#cancelRetry = undefined;
      this.#options.reactor.descriptorFreed();
    });
  }

  /** No more clients. Those that are there stay. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#cancelRetry?.();
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
