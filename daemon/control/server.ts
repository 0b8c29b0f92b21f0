import { lstatSync, mkdirSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { CodedError } from '../../src/errors.ts';
import type { NativeError } from '../../src/reactor/native.ts';
import { removeOwn } from '../socket-listener.ts';
import { system } from '../system.ts';
import { readLines } from './lines.ts';
import { requestSchema, RpcError } from './protocol.ts';

export type ControlMethods = Readonly<
  Record<string, (parameters: Record<string, unknown>) => Promise<unknown>>
>;

const maximumLineBytes = 64 * 1024;
/** Answers a client has not taken yet; more and it is cut off. */
const maximumUnsentBytes = 4 * 1024 * 1024;

const backlog = 16;

/** Serves `methods` on a Unix socket of mode 0600, or 0660 for a group. Start it with `listen`, end it with `close`. */
export class ControlServer {
  readonly #methods: ControlMethods;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #remove: (() => void) | undefined;

  constructor(methods: ControlMethods) {
    this.#methods = methods;
    this.#server = createServer((socket) => {
      this.#serve(socket);
    });
  }

  /**
   * Rejects with code `control-socket-in-use` when another daemon listens on the path; what a dead one has left is replaced. With a group
   * its members may call us, too.
   */
  async listen(path: string, group?: string): Promise<void> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    const fd = listenUnix(path, group);
    const made = lstatSync(path).ino;
    this.#remove = () => {
      removeOwn(path, made);
    };
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ fd }, resolve);
    });
  }

  async close(): Promise<void> {
    if (this.#remove === undefined) return;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    this.#remove();
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

function listenUnix(path: string, group: string | undefined): number {
  try {
    return system.listenUnix(path, group === undefined ? 0o600 : 0o660, backlog, group);
  } catch (error) {
    if ((error as NativeError).code !== 'EADDRINUSE') throw error;
    throw new CodedError('control-socket-in-use', `another daemon answers on ${path}`);
  }
}
