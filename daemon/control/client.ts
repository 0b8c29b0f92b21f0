import { createConnection, type Socket } from 'node:net';
import { CodedError } from '../../src/errors.ts';
import { readLines } from './lines.ts';
import { notificationSchema, responseSchema } from './protocol.ts';

const maximumLineBytes = 16 * 1024 * 1024;

/** Calls one method of the daemon at `path`. Rejects with a CodedError that says what to do next; its code is the daemon's `data.code`. */
export async function callControl(
  path: string,
  method: string,
  params: Record<string, unknown> = {},
): Promise<unknown> {
  const socket = createConnection(path);
  try {
    return await new Promise((resolve, reject) => {
      whenLost(socket, path, reject);
      readLines(socket, maximumLineBytes, (line) => {
        settle(path, parseJson(line), resolve, reject);
      });
      send(socket, method, params);
    });
  } finally {
    socket.destroy();
  }
}

/**
 * Calls a method that is followed by notifications, and hands out the parameters of each. Resolves when the daemon closes the connection,
 * or `signal` ends it; rejects when the method is refused or the daemon cannot be reached.
 */
export async function followControl(
  path: string,
  method: string,
  onNotification: (params: unknown) => void,
  signal?: AbortSignal,
): Promise<void> {
  const socket = createConnection(path);
  const onAbort = (): void => {
    socket.destroy();
  };
  signal?.addEventListener('abort', onAbort);
  try {
    await new Promise<void>((resolve, reject) => {
      let isFollowing = false;
      whenLost(socket, path, (error) => {
        if (isFollowing || signal?.aborted === true) resolve();
        else reject(error);
      });
      readLines(socket, maximumLineBytes, (line) => {
        const document = parseJson(line);
        const notification = notificationSchema.safeParse(document);
        if (notification.success) onNotification(notification.data.params);
        else settle(path, document, () => (isFollowing = true), reject);
      });
      send(socket, method, {});
    });
  } finally {
    signal?.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}

function send(socket: Socket, method: string, params: Record<string, unknown>): void {
  socket.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n`);
}

function whenLost(socket: Socket, path: string, reject: (error: Error) => void): void {
  socket.on('error', (error: NodeJS.ErrnoException) => {
    reject(new CodedError('control-unreachable', `${path}: ${error.message} (${hint(error)})`));
  });
  socket.on('close', () => {
    reject(
      new CodedError(
        'control-unreachable',
        `${path}: the daemon closed the connection; see its log (journalctl -u iserd)`,
      ),
    );
  });
}

function hint({ code }: NodeJS.ErrnoException): string {
  if (code === 'EACCES')
    return 'run it as root, or as a member of the group of [control] in the configuration';
  return 'is iserd running? "systemctl status iserd" knows; another daemon is asked with --socket';
}

function settle(
  path: string,
  document: unknown,
  resolve: (result: unknown) => void,
  reject: (error: Error) => void,
): void {
  const response = responseSchema.safeParse(document);
  if (!response.success) {
    const message = `${path}: unexpected answer; is it the control socket of iserd, and as new as this iserctl?`;
    reject(new CodedError('control-protocol', message));
  } else if ('error' in response.data) {
    const { data, message } = response.data.error;
    reject(new CodedError(data?.code ?? 'control-failed', message));
  } else resolve(response.data.result);
}

/** undefined for what is not JSON: no answer looks like that. */
function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
