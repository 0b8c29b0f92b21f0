/**
 * Virtual machines whose root file system is a volume, over nbd+unix, as packaging/doc/virtual-machines.md describes: QEMU without
 * the kernel's nbd, which needs no privileges.
 */
import { expect } from 'chai';
import { join } from 'node:path';
import { callControl } from '../../daemon/control/client.ts';
import { statusSchema } from '../../daemon/control/protocol.ts';
import { DaemonFixture, mebibyte } from '../helpers/daemon-fixture.ts';
import { runOk, type IserdProcess } from '../helpers/programs.ts';
import { makeGuestDisk, QemuGuest } from '../helpers/qemu-guest.ts';
import { waitUntil } from '../helpers/wait.ts';
import type { Tgt } from '../helpers/tgt.ts';

const volumes = ['one', 'two'] as const;
type VolumeName = (typeof volumes)[number];

describe('virtual machines on volumes', function () {
  this.timeout(300_000);
  const suite = DaemonFixture.perSuite();
  const test = DaemonFixture.perTest();
  let directory: string;
  let tgt: Tgt;
  let config: string;
  let iserd: IserdProcess;

  const socket = (volume: VolumeName): string => join(directory, `${volume}.sock`);
  const uri = (volume: VolumeName): string => `nbd+unix:///${volume}?socket=${socket(volume)}`;
  /** The short form of the recipe. */
  const asDrive = (volume: VolumeName): string[] => [
    '-drive',
    `file=${uri(volume)},format=raw,if=virtio`,
  ];
  /** The long form: the guest waits when iserd is gone for a while. */
  const asBlockdev = (volume: VolumeName): string[] => [
    '-blockdev',
    `driver=nbd,node-name=disk,export=${volume},server.type=unix,server.path=${socket(volume)},reconnect-delay=60`,
    ...['-device', 'virtio-blk-pci,drive=disk'],
  ];
  const boot = (disk: readonly string[]): Promise<QemuGuest> =>
    QemuGuest.boot(disk, (child) => {
      test.onCleanUp(async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const gone = new Promise((resolve) => child.once('exit', resolve));
        child.kill('SIGKILL');
        await gone;
      });
    });

  const writesOf = async (volume: VolumeName): Promise<number> => {
    const status = statusSchema.parse(await callControl(join(directory, 'control'), 'status'));
    const sessions = status.volumes.find(({ name }) => name === volume)?.sessions ?? [];
    return sessions[0].writes;
  };
  /** Resolves when the guest is in the middle of writing. */
  const untilBusy = async (volume: VolumeName): Promise<void> => {
    const before = await writesOf(volume);
    await waitUntil('the guest writes', async () => (await writesOf(volume)) > before + 20, 60_000);
  };
  /** Long enough to be interrupted. */
  const pieces = 200;
  const copy = `seq 0 ${pieces - 1} | while read -r i; do
    dd if=/dev/urandom of=/var/file bs=64k count=1 seek=$i conv=notrunc,fsync 2>/dev/null || exit 1
  done`;

  before('two volumes', async () => {
    directory = suite.directory();
    const sizeBytes = 96 * mebibyte;
    tgt = await suite.tgt({ luns: [{ sizeBytes }, { sizeBytes }] });
    config = join(directory, 'iserd.toml');
    const sections = volumes.map(
      (name, index) =>
        `[[volume]]\nname = "${name}"\nurl = "${tgt.urls[index]}"\nsocket = "${socket(name)}"\n`,
    );
    const control = `[control]\nsocket = "${join(directory, 'control')}"\n`;
    config = suite.file(control + sections.join(''));
    iserd = await suite.iserd('--config', config);
  });

  beforeEach('a system on each volume', async () => {
    const disk = join(directory, 'disk');
    await makeGuestDisk(disk);
    for (const volume of volumes) await runOk('nbdcopy', [disk, uri(volume)]);
  });

  it('boot from them, both at once, by the boot loader that is on them', async () => {
    const guests = await Promise.all([boot(asDrive('one')), boot(asBlockdev('two'))]);
    for (const [index, guest] of guests.entries()) {
      expect(guest.console).to.match(/guest ready, boot 1, root on \/dev\/vda1/);
      await guest.run(`echo of guest ${index} >/var/name && sync`);
    }
    for (const [index, guest] of guests.entries())
      expect(await guest.run('cat /var/name')).to.equal(`of guest ${index}`);
  });

  it('find what they have synced after a power failure', async () => {
    let guest = await boot(asDrive('one'));
    await guest.run('dd if=/dev/urandom of=/var/kept bs=1M count=8 && sync');
    const sum = await guest.run('sha256sum /var/kept');
    const endless = 'while dd if=/dev/urandom of=/var/lost bs=64k count=32 conv=fsync; do :; done';
    const interrupted = guest.run(endless).catch(() => 'interrupted');
    await untilBusy('one');
    await guest.kill();
    expect(await interrupted).to.equal('interrupted');

    guest = await boot(asDrive('one'));
    expect(guest.boots).to.equal(2);
    expect(await guest.run('dmesg')).to.contain('recovery complete');
    expect(await guest.run('sha256sum /var/kept')).to.equal(sum);
    expect(await guest.run('dmesg | grep -ciE "i/o error|ext4-fs error" || true')).to.equal('0');
  });

  it('wait while iserd is killed and started again', async () => {
    const guest = await boot(asBlockdev('one'));
    const written = guest.run(copy);
    await untilBusy('one');
    await iserd.stop('SIGKILL');
    iserd = await suite.iserd('--config', config);
    await written;
    expect(await guest.run('wc -c </var/file')).to.equal(String(pieces * 65_536));
    expect(await guest.run('dmesg | grep -ci "i/o error" || true')).to.equal('0');
  });

  it('wait while the target is killed and started again', async () => {
    const guest = await boot(asDrive('two'));
    const written = guest.run(copy);
    await untilBusy('two');
    await tgt.kill();
    await tgt.launch();
    await written;
    expect(await guest.run('wc -c </var/file')).to.equal(String(pieces * 65_536));
    expect(await guest.run('dmesg | grep -ci "i/o error" || true')).to.equal('0');
  });
});
