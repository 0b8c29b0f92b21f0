/**
 * A virtual machine in the virtual machine: its root file system is on /dev/nbdN, as a raw disk, and the volume comes over iSER.
 * Emulation inside emulation takes minutes for a boot: one small guest, booted once and without a boot loader. More is tested on the
 * host (test/integration/vm-guests.test.ts).
 */
import { expect } from 'chai';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeGuestDisk, QemuGuest } from '../helpers/qemu-guest.ts';
import { iserctlPath, run, runOk } from '../helpers/programs.ts';
import { ServedVolume } from '../vm/guest/served-volume.ts';

describe('a virtual machine on a kernel device', function () {
  this.timeout(1_200_000);
  let volume: ServedVolume;
  let guest: QemuGuest | undefined;

  before(async () => {
    volume = await ServedVolume.start('tgt_iser_url');
  });

  after(async () => {
    await guest?.kill();
    await volume.remove();
  });

  it('boots from it, keeps it from being detached, and has on it what it had synced when the power goes', async () => {
    const disk = join(volume.directory, 'disk');
    await makeGuestDisk(disk);
    await runOk('dd', [`if=${disk}`, `of=${volume.device}`, 'bs=1M', 'oflag=direct']);
    const options = 'root=/dev/vda1 console=ttyS0 quiet panic=-1 mitigations=off nokaslr';
    guest = await QemuGuest.boot([
      ...['-kernel', `${disk}.kernel`, '-initrd', `${disk}.initrd`, '-append', options],
      '-blockdev',
      `driver=host_device,node-name=disk,filename=${volume.device},cache.direct=on`,
      ...['-device', 'virtio-blk-pci,drive=disk'],
    ]);
    expect(guest.boots).to.equal(1);
    await guest.run('dd if=/dev/urandom of=/var/kept bs=64k count=8 && sync');
    const sum = await guest.run('sha256sum /var/kept');

    const refused = await run(process.execPath, [iserctlPath, 'detach', volume.device]);
    expect(refused.code).to.equal(1);
    expect(refused.stderr).to.match(/is in use \(.*qemu.*\)/);
    expect(await guest.run('sha256sum /var/kept')).to.equal(sum);

    await guest.kill();
    const mountPoint = join(volume.directory, 'mount');
    mkdirSync(mountPoint);
    await runOk('blockdev', ['--rereadpt', volume.device]);
    await runOk('mount', ['-t', 'ext4', `${volume.device}p1`, mountPoint]);
    try {
      const found = await runOk('sha256sum', [join(mountPoint, 'var/kept')]);
      expect(found.split(' ')[0]).to.equal(sum.split(' ')[0]);
    } finally {
      await runOk('umount', [mountPoint]);
    }
  });
});
