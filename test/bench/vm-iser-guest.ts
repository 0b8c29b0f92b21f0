/** The part of vm-iser.ts that runs in the guest. */
import { spawn } from 'node:child_process';
import { IserdProcess, runOk } from '../helpers/programs.ts';
import { waitUntil } from '../helpers/wait.ts';
import { isAttached } from '../vm/guest/block-device.ts';
import { Shell } from '../vm/guest/shell.ts';
import { sideBySideWorkloads } from './fio.ts';
import { sideBySide } from './side-by-side.ts';

const [rounds, seconds] = process.argv.slice(2).map(Number);
/** iserd takes the first free device. */
const qemuDevice = '/dev/nbd8';

const targets = new Shell('test/vm/guest/targets.sh');
await targets.run('tgt_up 256M');
// Written once, so that nobody reads holes.
await targets.run('dd if=/dev/zero of="$tgt_file" bs=1M count=256 conv=notrunc status=none');
const initiatorName = await targets.variable('initiator_name');
const url = await targets.variable('tgt_iser_url');
const [, portal, targetName, lun] = /^iser:\/\/([^/]+)\/([^/]+)\/(\d+)$/.exec(url) ?? [];

const iserd = await IserdProcess.start([
  'serve',
  url,
  '--initiator-name',
  initiatorName,
  '--device',
  'auto',
]);
const image = [
  'driver=raw,file.driver=iscsi,file.transport=iser',
  `file.portal=${portal},file.target=${targetName},file.lun=${lun}`,
  `file.initiator-name=${initiatorName},cache.direct=on`,
].join(',');
// It would go to the background, under another process id, without --verbose.
const qemu = spawn('qemu-nbd', ['--verbose', '--connect', qemuDevice, '--image-opts', image], {
  stdio: ['ignore', 'ignore', 'inherit'],
});
try {
  await waitUntil('qemu-nbd has attached its device', () => isAttached(qemuDevice));
  await sideBySide({
    title: 'VM, iSER over soft-RoCE, tgt, kernel devices',
    servers: [
      { name: 'iserd', place: { device: iserd.device! }, pid: iserd.child.pid! },
      { name: 'qemu-nbd', place: { device: qemuDevice }, pid: qemu.pid! },
    ],
    workloads: sideBySideWorkloads,
    rounds,
    seconds,
    size: '256m',
    result: 'vm-iser.json',
  });
} finally {
  await runOk('qemu-nbd', ['--disconnect', qemuDevice]);
  await iserd.stop();
  await targets.run('tgt_down');
  await targets.close();
}
