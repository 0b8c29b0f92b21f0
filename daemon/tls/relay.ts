/** The main thread's end of the TLS relay: one worker thread for all TLS listeners, started with the first. */
import { Worker } from 'node:worker_threads';
import { system } from '../system.ts';
import { readMaterial, type TlsFiles } from './material.ts';
import type { RelayEvent, RelayRequest } from './messages.ts';

export interface TlsRelayOptions {
  /** Of a listener. */
  readonly maximumClients: number;
  readonly handshakeMs: number;
  /** What people should know: a client was refused, the relay has ended. */
  readonly onTrouble: (message: string) => void;
}

export class TlsRelay {
  readonly #options: TlsRelayOptions;
  readonly #onConnection = new Map<number, (fd: number) => void>();
  /** Listeners that are being closed. */
  readonly #closing = new Map<number, () => void>();
  #worker: Worker | undefined;
  #maximumClients: number;
  #nextListener = 0;

  constructor(options: TlsRelayOptions) {
    this.#options = options;
    this.#maximumClients = options.maximumClients;
  }

  /** For clients that come from now on. */
  set maximumClients(count: number) {
    this.#maximumClients = count;
    if (this.#worker !== undefined) this.#post({ request: 'limit', maximumClients: count });
  }

  /**
   * Serves TLS clients of the listening socket `fd`, which becomes the relay's; `onConnection` gets a socket that speaks NBD without TLS for
   * each. Returns what closes it, which resolves when the port is free. Throws ConfigurationError when the files cannot be used; `fd` is then still the caller's.
   */
  listen(fd: number, files: TlsFiles, onConnection: (fd: number) => void): () => Promise<void> {
    const material = readMaterial(files);
    const listener = this.#nextListener++;
    this.#onConnection.set(listener, onConnection);
    const { handshakeMs } = this.#options;
    const maximumClients = this.#maximumClients;
    this.#post({ request: 'listen', listener, fd, maximumClients, handshakeMs, ...material });
    return () => {
      this.#onConnection.delete(listener);
      // Whose thread has ended is closed.
      if (this.#worker === undefined) return Promise.resolve();
      return new Promise((resolve) => {
        this.#closing.set(listener, resolve);
        this.#post({ request: 'close', listener });
      });
    };
  }

  close(): void {
    void this.#worker?.terminate();
    this.#worker = undefined;
  }

  #post(request: RelayRequest): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(request);
  }

  /** The listener may have been closed meanwhile. */
  #onClient(listener: number, fd: number): void {
    const onConnection = this.#onConnection.get(listener);
    if (onConnection === undefined) system.closeFd(fd);
    else onConnection(fd);
  }

  #onClosed(listener: number): void {
    this.#closing.get(listener)?.();
    this.#closing.delete(listener);
  }

  #start(): Worker {
    const worker = new Worker(new URL('./relay-worker.js', import.meta.url), { name: 'tls-relay' });
    worker.on('message', (event: RelayEvent) => {
      if (event.event === 'client') this.#onClient(event.listener, event.fd);
      else if (event.event === 'closed') this.#onClosed(event.listener);
      else this.#options.onTrouble(`TLS client refused: ${event.reason}`);
    });
    worker.on('error', (error: Error) => {
      this.#options.onTrouble(`no TLS clients are served any more: ${error.message}`);
    });
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
      for (const listener of [...this.#closing.keys()]) this.#onClosed(listener);
    });
    worker.unref();
    return worker;
  }
}
