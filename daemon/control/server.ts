import { lstatSync, mkdirSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { z } from 'zod';
import { CodedError } from '../../src/errors.ts';
import type { NativeError } from '../../src/reactor/native.ts';
import { removeOwn } from '../socket-listener.ts';
import { system } from '../system.ts';
import { readLines } from './lines.ts';
import { requestSchema, RpcError } from './protocol.ts';

/** Who has called a method. */
export interface ControlConnection {
  /** Sends a notification, after the answer to the method. A client that does not take them is cut off. */
  notify(method: string, parameters: unknown): void;
  /** Calls `action` when the client is gone, or at once if it is. */
  onGone(action: () => void): void;
}

export type ControlMethods = Readonly<
  Record<
    string,
    (parameters: Record<string, unknown>, connection: ControlConnection) => Promise<unknown>
  >
>;

/** The parameters of a method are not what it takes. */
export class ParametersError extends CodedError {
  constructor(message: string) {
    super('invalid-parameters', message);
  }
}

const maximumLineBytes = 64 * 1024;
/** Answers and notifications that a client has not taken yet; more and it is cut off. */
const maximumUnsentBytes = 4 * 1024 * 1024;

const backlog = 16;
/** How long clients may take for what they have been sent at the end. */
const closeTimeoutMs = 1000;

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
    // What has been sent still arrives; who does not take it is not waited for.
    for (const socket of this.#sockets) socket.destroySoon();
    const late = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, closeTimeoutMs);
    await new Promise((resolve) => this.#server.close(resolve));
    clearTimeout(late);
    this.#remove();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    const send = (message: unknown): void => {
      if (!socket.writable) return;
      socket.write(`${JSON.stringify(message)}\n`);
      if (socket.writableLength > maximumUnsentBytes) socket.destroy();
    };
    readLines(socket, maximumLineBytes, (line) => {
      const early: unknown[] = [];
      let answered = false;
      const connection: ControlConnection = {
        notify: (method, params) => {
          const notification = { jsonrpc: '2.0', method, params };
          if (answered) send(notification);
          else early.push(notification);
        },
        onGone: (action) => {
          if (socket.closed) action();
          else socket.once('close', action);
        },
      };
      // Never rejects: a method that fails is an answer.
      void this.#answer(line, connection).then((reply) => {
        answered = true;
        for (const message of [reply, ...early]) send(message);
      });
    });
  }

  async #answer(line: string, connection: ControlConnection): Promise<unknown> {
    let document: unknown;
    try {
      document = JSON.parse(line);
    } catch {
      return failure(null, RpcError.parseError, 'parse-error', 'not JSON');
    }
    const request = requestSchema.safeParse(document);
    if (!request.success) {
      const message = 'not a JSON-RPC 2.0 request';
      return failure(null, RpcError.invalidRequest, 'invalid-request', message);
    }
    const { id, method, params } = request.data;
    if (!Object.hasOwn(this.#methods, method)) {
      const message = `this daemon has no method "${method}": is it older than your iserctl?`;
      return failure(id, RpcError.methodNotFound, 'unknown-method', message);
    }
    try {
      return { jsonrpc: '2.0', id, result: await this.#methods[method](params ?? {}, connection) };
    } catch (error) {
      return failureOf(id, error as Error);
    }
  }
}

function failureOf(id: number | string, error: Error): unknown {
  if (error instanceof z.ZodError) {
    const problems = error.issues.map(
      ({ path, message }) => `${path.map(String).join('.')}: ${message}`,
    );
    return failureOf(id, new ParametersError(problems.join('; ')));
  }
  if (!(error instanceof CodedError))
    return failure(id, RpcError.internalError, 'internal-error', error.message);
  const isUsage = error instanceof ParametersError;
  const number = isUsage ? RpcError.invalidParams : RpcError.refused;
  return failure(id, number, error.code, error.message);
}

function failure(
  id: number | string | null,
  number: number,
  code: string,
  message: string,
): unknown {
  return { jsonrpc: '2.0', id, error: { code: number, message, data: { code } } };
}

function listenUnix(path: string, group: string | undefined): number {
  try {
    return system.listenUnix(path, group === undefined ? 0o600 : 0o660, backlog, group);
  } catch (error) {
    if ((error as NativeError).code !== 'EADDRINUSE') throw error;
    throw new CodedError('control-socket-in-use', `another daemon answers on ${path}`);
  }
}
