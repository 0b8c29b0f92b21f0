import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseTargetUrl } from '../../../src/iscsi/url.ts';
import { waitForSocket, waitUntil } from '../../helpers/wait.ts';
import { isAttached } from '../../vm/guest/block-device.ts';
import type { Disk } from '../fio.ts';
import { collectStderr, startTimeoutMs, type Server, type Volumes } from './server.ts';

interface Export {
  readonly disk: Disk;
  readonly child: ChildProcess;
  readonly stderr: () => string;
}

/** A qemu-nbd with libiscsi for each volume: it has no more than one export. */
export async function startQemuNbd(volumes: Volumes): Promise<Server> {
  const exports: Export[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(exports.map(end));
  };
  try {
    for (const index of volumes.urls.keys()) exports.push(await startExport(volumes, index));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    disks: exports.map(({ disk }) => disk),
    pids: exports.map(({ child }) => child.pid ?? -1),
    // "NBD device … is now connected" is what --verbose adds.
    complaints: () =>
      exports
        .flatMap(({ stderr }) => stderr().split('\n'))
        .filter((line) => line !== '' && !line.includes('is now connected'))
        .join('\n'),
    stop,
  };
}

async function startExport(volumes: Volumes, index: number): Promise<Export> {
  const device = volumes.nbdDevices?.[index];
  const socket = join(volumes.directory, `qemu-${volumes.tag}-${index}.sock`);
  // It would go to the background with --connect, under another process id, without --verbose.
  const front =
    device === undefined
      ? ['--persistent', '--shared=8', `--socket=${socket}`]
      : ['--verbose', `--connect=${device}`];
  const child = spawn('qemu-nbd', [...front, '--image-opts', imageOptions(volumes, index)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const stderr = collectStderr(child);
  const ended = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`qemu-nbd ended (${String(signal ?? code)}): ${stderr()}`);
  });
  try {
    await Promise.race([
      ended,
      device === undefined
        ? waitForSocket(socket, startTimeoutMs)
        : waitUntil('qemu-nbd has attached its device', () => isAttached(device), startTimeoutMs),
    ]);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    // Its end is no news any more.
    ended.catch(() => undefined);
  }
  const disk = device === undefined ? { uri: `nbd+unix:///?socket=${socket}` } : { device };
  return { disk, child, stderr };
}

function imageOptions({ urls, initiatorName }: Volumes, index: number): string {
  const { transport, host, port, targetName, lun } = parseTargetUrl(urls[index]);
  return [
    `driver=raw,file.driver=iscsi,file.transport=${transport}`,
    `file.portal=${host}:${port},file.target=${targetName},file.lun=${lun}`,
    `file.initiator-name=${initiatorName},cache.direct=on`,
  ].join(',');
}

/** It would wait for its target for ever, asked to end or not; the kernel gives up a device whose server has gone. */
async function end({ child }: Export): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}
