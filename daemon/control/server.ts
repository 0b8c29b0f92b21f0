import { chmodSync, mkdirSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { CodedError } from '../../src/errors.ts';
import { readLines } from './lines.ts';
import { requestSchema, RpcError } from './protocol.ts';

export type ControlMethods = Readonly<
  Record<string, (parameters: Record<string, unknown>) => Promise<unknown>>
>;

const maximumLineBytes = 64 * 1024;
/** Answers a client has not taken yet; more and it is cut off. */
const maximumUnsentBytes = 4 * 1024 * 1024;

/** Serves `methods` on a Unix socket of mode 0600. Start it with `listen`, end it with `close`. */
export class ControlServer {
  readonly #methods: ControlMethods;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #path: string | undefined;

  constructor(methods: ControlMethods) {
    this.#methods = methods;
    this.#server = createServer((socket) => {
      this.#serve(socket);
    });
  }

  /** Rejects with code `control-socket-in-use` when another daemon answers on the path; a stale file is replaced. */
  async listen(path: string): Promise<void> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    if (await answers(path)) {
      throw new CodedError('control-socket-in-use', `another daemon answers on ${path}`);
    }
    try {
      unlinkSync(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
    const umask = process.umask(0o177);
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject);
        this.#server.listen(path, resolve);
      });
    } finally {
      process.umask(umask);
    }
    chmodSync(path, 0o600);
    this.#path = path;
  }

  async close(): Promise<void> {
    if (this.#path === undefined) return;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    readLines(socket, maximumLineBytes, (line) => {
      // Never rejects: a method that fails is an answer.
      void this.#answer(line).then((reply) => {
        if (!socket.writable) return;
        socket.write(`${JSON.stringify(reply)}\n`);
        if (socket.writableLength > maximumUnsentBytes) socket.destroy();
      });
    });
  }

  async #answer(line: string): Promise<unknown> {
    let document: unknown;
    try {
      document = JSON.parse(line);
    } catch {
      return failure(null, RpcError.parseError, 'not JSON');
    }
    const request = requestSchema.safeParse(document);
    if (!request.success)
      return failure(null, RpcError.invalidRequest, 'not a JSON-RPC 2.0 request');
    const { id, method, params } = request.data;
    if (!Object.hasOwn(this.#methods, method)) {
      return failure(id, RpcError.methodNotFound, `no method "${method}"`);
    }
    try {
      return { jsonrpc: '2.0', id, result: await this.#methods[method](params ?? {}) };
    } catch (error) {
      return failure(id, RpcError.internalError, (error as Error).message);
    }
  }
}

function failure(id: number | string | null, code: number, message: string): unknown {
  return { jsonrpc: '2.0', id, error: { code, message } };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => {
      resolve(false);
    });
  });
}
