import { createConnection } from 'node:net';
import { createInterface } from 'node:readline';
import { CodedError } from '../../src/errors.ts';
import { responseSchema } from './protocol.ts';

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
      createInterface({ input: socket }).on('line', (line) => {
        const response = responseSchema.safeParse(JSON.parse(line));
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
