import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { IserdProcess } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import type { Variant } from '../field.ts';
import type { Disk } from '../fio.ts';
import { startTimeoutMs, type Server, type Volumes } from './server.ts';

/** One daemon with all volumes. For `wrapper` see IserdProcess.start. */
export async function startIserd(
  volumes: Volumes,
  variant?: Variant,
  wrapper: readonly string[] = [],
): Promise<Server> {
  const { directory, tag, initiatorName, urls } = volumes;
  const fronts = urls.map((_, index) => frontOf(volumes, index));
  const file = join(directory, `iserd-${tag}.toml`);
  const text = [
    `[initiator]\nname = "${initiatorName}"`,
    `[control]\nsocket = "${join(directory, `iserd-${tag}-control.sock`)}"`,
    '[log]\nlevel = "warn"',
    ...(variant === undefined ? [] : [variant.configuration]),
    ...urls.map(
      (url, index) =>
        `[[volume]]\nname = "${tag}-${index}"\nurl = "${url}"\n${fronts[index].setting}`,
    ),
  ];
  writeFileSync(file, `${text.join('\n\n')}\n`);
  // A daemon whose targets do not answer tries for ever.
  let timer: NodeJS.Timeout | undefined;
  const onSpawn = (child: ChildProcess): void => {
    timer = setTimeout(() => child.kill('SIGKILL'), startTimeoutMs);
  };
  const iserd = await IserdProcess.start(['--config', file], onSpawn, wrapper);
  try {
    await waitUntil(
      `iserd serves all of its ${urls.length} volumes`,
      () => iserd.timesReady === urls.length,
      startTimeoutMs,
    );
  } catch (error) {
    iserd.child.kill('SIGKILL');
    throw new Error(`${(error as Error).message}\n${iserd.log}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
  return {
    disks: fronts.map(({ disk }) => disk),
    pids: [iserd.child.pid ?? -1],
    complaints: () => iserd.log.trim(),
    stop: async () => {
      await iserd.stop();
    },
  };
}

function frontOf(volumes: Volumes, index: number): { setting: string; disk: Disk } {
  const device = volumes.nbdDevices?.[index];
  if (device !== undefined) return { setting: `device = "${device}"`, disk: { device } };
  const socket = join(volumes.directory, `iserd-${volumes.tag}-${index}.sock`);
  const name = `${volumes.tag}-${index}`;
  return {
    setting: `socket = "${socket}"`,
    disk: { uri: `nbd+unix:///${name}?socket=${socket}` },
  };
}
