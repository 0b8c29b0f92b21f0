/** The place without a target: iserd's NBD side alone, beside the least that a server can be. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OpenPlace } from './places.ts';
import { startEpollNbd } from './servers/epoll-nbd.ts';
import { startNullIserd } from './servers/null-iserd.ts';

export function openHop(volumes: number): OpenPlace {
  const directory = mkdtempSync(join(tmpdir(), 'iserd-bench-'));
  return {
    start: ({ name }) =>
      name === 'iserd' ? startNullIserd(directory, volumes) : startEpollNbd(directory, volumes),
    close: async (servers) => {
      for (const server of servers) await server.stop?.();
      rmSync(directory, { recursive: true });
    },
  };
}
