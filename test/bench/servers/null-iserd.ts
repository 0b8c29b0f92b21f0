import { join } from 'node:path';
import { LaneProcess } from '../lane-process.ts';
import type { Server } from './server.ts';

/** One lane that has a null device and nothing else, in a process of its own; all volumes are the same export. */
export async function startNullIserd(directory: string, volumes: number): Promise<Server> {
  const socketPath = join(directory, 'iserd.sock');
  const lane = await LaneProcess.start({ socketPath });
  return {
    disks: Array.from({ length: volumes }, () => ({ uri: `nbd+unix:///?socket=${socketPath}` })),
    pids: [lane.child.pid ?? -1],
    complaints: () => lane.complaints(),
    stop: () => lane.close(),
  };
}
