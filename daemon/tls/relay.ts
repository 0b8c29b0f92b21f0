/** The main thread's end of the TLS relay: one worker thread for all TLS listeners, started with the first. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { Worker } from 'node:worker_threads';
import { ConfigurationError } from '../../src/errors.ts';
import { readSafeFile } from '../config/safe-file.ts';
import { forget, keepSecret } from '../config/secret.ts';
import type { RelayEvent, RelayRequest } from './messages.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Signer of the certificates that clients must show. */
  readonly clientCa: string;
}

export interface TlsRelayOptions {
  readonly maximumClients: number;
  readonly handshakeMs: number;
  /** What people should know: a client was refused, the relay has ended. */
  readonly onTrouble: (message: string) => void;
}

export class TlsRelay {
  readonly #options: TlsRelayOptions;
  readonly #onConnection = new Map<number, (fd: number) => void>();
  #worker: Worker | undefined;
  #nextListener = 0;

  constructor(options: TlsRelayOptions) {
    this.#options = options;
  }

  /**
   * Serves TLS clients of the listening socket `fd`, which becomes the relay's; `onConnection` gets a socket that speaks NBD without TLS for
   * each. Returns what closes it. Throws ConfigurationError when the files cannot be used; `fd` is then still the caller's.
   */
  listen(fd: number, files: TlsFiles, onConnection: (fd: number) => void): () => void {
    const material = readMaterial(files);
    const listener = this.#nextListener++;
    this.#onConnection.set(listener, onConnection);
    const { maximumClients, handshakeMs } = this.#options;
    this.#post({ request: 'listen', listener, fd, maximumClients, handshakeMs, ...material });
    return () => {
      this.#onConnection.delete(listener);
      this.#post({ request: 'close', listener });
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

  #start(): Worker {
    const worker = new Worker(new URL('./relay-worker.js', import.meta.url), { name: 'tls-relay' });
    worker.on('message', (event: RelayEvent) => {
      if (event.event === 'client') this.#onConnection.get(event.listener)?.(event.fd);
      else this.#options.onTrouble(`TLS client refused: ${event.reason}`);
    });
    worker.on('error', (error: Error) => {
      this.#options.onTrouble(`no TLS clients are served any more: ${error.message}`);
    });
    worker.unref();
    return worker;
  }
}

/** Reads the files and makes sure that they are what they should be and belong together. */
function readMaterial(files: TlsFiles): {
  certificate: Uint8Array;
  key: Uint8Array;
  clientCa: Uint8Array;
} {
  const certificate = readPublicFile(files.certificate);
  const clientCa = readPublicFile(files.clientCa);
  const key = keepSecret(readSafeFile(files.key));
  try {
    createSecureContext({
      cert: Buffer.from(certificate),
      ca: Buffer.from(clientCa),
      key: Buffer.from(key.buffer, 0, key.length),
    });
  } catch (error) {
    forget(key);
    throw new ConfigurationError(
      'tls-material',
      `TLS: ${files.certificate}, ${files.key}, ${files.clientCa}: ${(error as Error).message}`,
    );
  }
  return { certificate, key, clientCa };
}

function readPublicFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ConfigurationError('tls-material', `${path}: ${(error as Error).message}`);
  }
}
