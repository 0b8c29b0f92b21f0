/** On the host over TCP, both on one tgt: iserd and qemu-nbd, fio's nbd engine. `node --import tsx test/bench/host-tcp.ts [rounds] [seconds]` */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IserdProcess } from '../helpers/programs.ts';
import { Tgt } from '../helpers/tgt.ts';
import { waitForSocket } from '../helpers/wait.ts';
import { sideBySideWorkloads } from './fio.ts';
import { sideBySide } from './side-by-side.ts';

// Disks would have their say otherwise.
process.env['TMPDIR'] ??= '/dev/shm';
const [rounds = 3, seconds = 4] = process.argv.slice(2).map(Number);
const directory = mkdtempSync(join(tmpdir(), 'iserd-bench-'));
const tgt = await Tgt.start({ luns: [{ sizeBytes: 256 * 2 ** 20 }] });
const iserd = await IserdProcess.start([
  'serve',
  tgt.urls[0],
  '--socket',
  join(directory, 'iserd.sock'),
]);
const qemuSocket = join(directory, 'qemu.sock');
const qemu = spawn(
  'qemu-nbd',
  ['-k', qemuSocket, '-f', 'raw', '-t', '-e', '8', '--cache=none', tgt.urls[0]],
  { stdio: 'inherit' },
);
try {
  await waitForSocket(qemuSocket);
  await sideBySide({
    title: 'host, TCP, tgt',
    servers: [
      { name: 'iserd', place: { uri: iserd.uri! }, pid: iserd.child.pid! },
      {
        name: 'qemu-nbd',
        place: { uri: `nbd+unix:///?socket=${qemuSocket}` },
        pid: qemu.pid!,
      },
    ],
    workloads: sideBySideWorkloads,
    rounds,
    seconds,
    size: '256m',
    result: 'host-tcp.json',
  });
} finally {
  // It would wait for its target for ever: it goes first, and asked or not.
  const qemuEnded = once(qemu, 'exit');
  qemu.kill('SIGKILL');
  await qemuEnded;
  await iserd.stop();
  await tgt.stop();
  rmSync(directory, { recursive: true });
}
