/** Where Prometheus fetches metrics: HTTP on a Unix socket or on a loopback address, GET /metrics and nothing else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { lstatSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { CodedError } from '../../src/errors.ts';
import type { NativeError } from '../../src/reactor/native.ts';
import type { ListenAddress } from '../config/listen-address.ts';
import { removeOwn } from '../socket-listener.ts';
import { system } from '../system.ts';
import { contentType } from './exposition.ts';

export type MetricsPlace =
  | { readonly socket: string; readonly group: string | undefined }
  | { readonly listen: ListenAddress };

/** What a scraper may cost. It sends a few hundred bytes and is answered within a second or so. */
const limits = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 5000,
  requestTimeout: 5000,
  connectionsCheckingInterval: 1000,
  keepAliveTimeout: 5000,
} as const;
const maximumConnections = 16;
/** Without progress: a scraper that does not read its answer. */
const idleMs = 30_000;
const backlog = 16;

/** Start it with `listen`, end it with `close`. */
export class MetricsEndpoint {
  readonly #collect: () => Promise<string>;
  readonly #server: Server;
  #remove: (() => void) | undefined;
  #collecting: Promise<string> | undefined;

  /** @param collect the text of a scrape; called once for scrapes that come together */
  constructor(collect: () => Promise<string>) {
    this.#collect = collect;
    this.#server = createServer(limits, (request, response) => {
      // Never rejects.
      void this.#answer(request, response);
    });
    this.#server.maxConnections = maximumConnections;
    this.#server.setTimeout(idleMs);
  }

  /** Rejects with a CodedError that names the place, when somebody else has it or it cannot be had. */
  async listen(place: MetricsPlace): Promise<void> {
    const name = 'socket' in place ? place.socket : `${place.listen.address}:${place.listen.port}`;
    try {
      await ('socket' in place ? this.#listenUnix(place) : this.#listenTcp(place.listen));
    } catch (error) {
      const { code, message } = error as NativeError;
      const reason = code === 'EADDRINUSE' ? 'somebody else listens there' : message;
      throw new CodedError('metrics-listen', `metrics on ${name}: ${reason}`, { cause: error });
    }
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
    this.#remove?.();
  }

  async #listenUnix({ socket, group }: Extract<MetricsPlace, { socket: string }>): Promise<void> {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
    const fd = system.listenUnix(socket, group === undefined ? 0o600 : 0o660, backlog, group);
    const made = lstatSync(socket).ino;
    this.#remove = () => {
      removeOwn(socket, made);
    };
    await this.#listening(() => this.#server.listen({ fd }));
  }

  #listenTcp({ address: host, port }: ListenAddress): Promise<void> {
    return this.#listening(() => this.#server.listen({ host, port, backlog }));
  }

  #listening(listen: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.once('listening', () => {
        this.#server.off('error', reject);
        resolve();
      });
      listen();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.split('?')[0];
    if (path !== '/metrics') {
      refuse(response, 404, 'metrics are at /metrics\n');
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      refuse(response, 405, 'only GET\n');
      return;
    }
    try {
      this.#collecting ??= this.#collect().finally(() => {
        this.#collecting = undefined;
      });
      const text = await this.#collecting;
      response.writeHead(200, { 'content-type': contentType });
      response.end(text);
    } catch (error) {
      refuse(response, 500, `${(error as Error).message}\n`);
    }
  }
}

/** The connection ends with it: whatever else the request has to say is not read. */
function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' });
  response.end(text);
}
