import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runOk } from '../../helpers/programs.ts';
import { waitForSocket } from '../../helpers/wait.ts';
import { nullDeviceBytes } from '../null-device.ts';
import { collectStderr, type Server } from './server.ts';

const source = fileURLToPath(new URL('epoll-nbd.c', import.meta.url));

/** One process with one thread; all volumes are the same export. */
export async function startEpollNbd(directory: string, volumes: number): Promise<Server> {
  const program = join(directory, 'epoll-nbd');
  const socket = join(directory, 'epoll.sock');
  await runOk('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, source]);
  const child = spawn(program, [socket, `${nullDeviceBytes}`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stderr = collectStderr(child);
  const ended = once(child, 'exit');
  const failed = ended.then(([code, signal]) => {
    throw new Error(`epoll-nbd ended (${String(signal ?? code)}): ${stderr()}`);
  });
  // Once it serves, its end is no news any more.
  failed.catch(() => undefined);
  await Promise.race([failed, waitForSocket(socket)]);
  return {
    disks: Array.from({ length: volumes }, () => ({ uri: `nbd+unix:///?socket=${socket}` })),
    pids: [child.pid ?? -1],
    complaints: stderr,
    stop: async () => {
      child.kill();
      await ended;
    },
  };
}
