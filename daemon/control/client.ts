import { createConnection } from 'node:net';
import { CodedError } from '../../src/errors.ts';
import { readLines } from './lines.ts';
import { responseSchema } from './protocol.ts';

const maximumLineBytes = 16 * 1024 * 1024;

/** Calls one method of the daemon at `path`. Rejects with a CodedError that says what to do next. */
export async function callControl(
  path: string,
  method: string,
  params: Record<string, unknown> = {},
): Promise<unknown> {
  const socket = createConnection(path);
  try {
    return await new Promise((resolve, reject) => {
      socket.on('error', (error: NodeJS.ErrnoException) => {
        const hint = error.code === 'EACCES' ? 'run it as root' : 'is iserd running?';
        reject(new CodedError('control-unreachable', `${path}: ${error.message} (${hint})`));
      });
      socket.on('close', () => {
        reject(new CodedError('control-unreachable', `${path}: the daemon closed the connection`));
      });
      readLines(socket, maximumLineBytes, (line) => {
        const response = responseSchema.safeParse(parseJson(line));
        if (!response.success)
          reject(new CodedError('control-protocol', `${path}: unexpected answer`));
        else if ('error' in response.data)
          reject(new CodedError('control-failed', response.data.error.message));
        else resolve(response.data.result);
      });
      socket.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n`);
    });
  } finally {
    socket.destroy();
  }
}

/** undefined for what is not JSON: no answer looks like that. */
function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
