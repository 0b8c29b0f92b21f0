/** A logical unit that gets larger and smaller under a mounted file system: LIO over a loop device that is resized. */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { statfsSync } from 'node:fs';
import { join } from 'node:path';
import { run, runOk } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { sizeOf, waitingProcesses } from '../guest/block-device.ts';
import { check, checksums, fill, fileSystems, make, mounted } from '../guest/file-system.ts';
import { targets } from '../guest/machine.ts';
import { ServedVolume } from '../guest/served-volume.ts';

const mebibyte = 2 ** 20;
const firstMebibytes = 48;
const grownMebibytes = 80;
const [ext4] = fileSystems;
/** LUN of the loop device. */
const lun = 3;
const file = '/dev/shm/iserd-growing-disk';

/** Kernel uevents of one block device, as `udevadm monitor` prints them. */
class UeventMonitor {
  printed = '';
  readonly #child: ChildProcess;

  constructor() {
    this.#child = spawn('stdbuf', ['-oL', 'udevadm', 'monitor', '--kernel', '--property'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.printed += chunk.toString()));
  }

  /** Resolves when it listens. */
  async ready(): Promise<void> {
    await waitUntil('udevadm listens', () => this.printed.includes('KERNEL'));
  }

  /** Whether the device was announced with a new size. */
  sawResizeOf(device: string): boolean {
    return this.printed
      .split('\n\n')
      .some((event) => `${event}\n`.includes(`DEVNAME=${device}\n`) && event.includes('RESIZE=1'));
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.kill();
    await ended;
  }
}

/** What is behind the logical unit gets this size. */
async function resizeUnit(mebibytes: number): Promise<void> {
  await targets.run(`truncate -s ${mebibytes}M ${file} && losetup -c "$growing_loop"`);
}

before('a logical unit on a loop device', async () => {
  await targets.run(
    [
      'modprobe loop; modprobe target_core_iblock',
      `truncate -s ${firstMebibytes}M ${file}`,
      `growing_loop=$(losetup --find --show ${file})`,
      'growing=/sys/kernel/config/target/core/iblock_0/growing',
      'mkdir -p "$growing"',
      'echo "udev_path=$growing_loop" >"$growing/control"',
      'echo 1 >"$growing/enable"',
      'echo iserd-test-growing >"$growing/wwn/vpd_unit_serial"',
      `mkdir "$_fabric/$iqn_prefix:lio/tpgt_1/lun/lun_${lun}"`,
      `ln -s "$growing" "$_fabric/$iqn_prefix:lio/tpgt_1/lun/lun_${lun}/disk"`,
      `growing_iser_url=\${lio_iser_url%/0}/${lun} growing_tcp_url=\${lio_tcp_url%/0}/${lun}`,
    ].join(' && '),
  );
});

for (const transport of ['iser', 'tcp']) {
  describe(`a logical unit that is resized: LIO over ${transport}`, () => {
    let volume: ServedVolume;
    let directory: string;

    before(async () => {
      await resizeUnit(firstMebibytes);
      volume = await ServedVolume.start(`growing_${transport}_url`, '--lanes', '2');
      directory = join(volume.directory, 'mounted');
      await make(ext4, volume.device);
    });
    after(async () => {
      await volume.remove();
    });

    it('shows its new size under a mounted file system, which grows into it', async () => {
      const { device } = volume;
      const monitor = new UeventMonitor();
      try {
        await monitor.ready();
        await mounted(device, directory, async () => {
          fill(directory);
          await runOk('sync', ['-f', directory]);
          const before = checksums(directory);
          await resizeUnit(grownMebibytes);
          await waitUntil('the device', () => sizeOf(device) === grownMebibytes * mebibyte, 60_000);
          const shown = await runOk('blockdev', ['--getsize64', device]);
          expect(Number(shown)).to.equal(grownMebibytes * mebibyte);
          await waitUntil('the uevent', () => monitor.sawResizeOf(device));
          const blocksBefore = statfsSync(directory).blocks;
          await runOk('resize2fs', [device]);
          expect(statfsSync(directory).blocks).to.be.greaterThan(blocksBefore * 1.4);
          expect(checksums(directory)).to.deep.equal(before);
        });
      } finally {
        await monitor.stop();
      }
      await check(ext4, device);
    });

    it('shows its new size to NBD clients and in the status', async () => {
      const size = await runOk('nbdinfo', ['--size', volume.uri]);
      expect(Number(size)).to.equal(grownMebibytes * mebibyte);
      const [{ sizeBytes }] = (await volume.status()).volumes;
      expect(sizeBytes).to.equal(grownMebibytes * mebibyte);
    });

    it('can be written up to its new end', async () => {
      const last = grownMebibytes - 1;
      const where = [`of=${volume.device}`, `seek=${last}`];
      await runOk('dd', ['if=/dev/urandom', ...where, 'bs=1M', 'count=1', 'oflag=direct']);
      // Past the page cache: that of the loop device knows nothing of what LIO writes.
      const read = (device: string): string =>
        `dd if=${device} bs=1M count=1 skip=${last} iflag=direct status=none`;
      await targets.run(`cmp <(${read(volume.device)}) <(${read('"$growing_loop"')})`);
    });

    it('keeps its size when it shrinks: I/O within works, beyond is an error, nobody hangs', async () => {
      await resizeUnit(firstMebibytes);
      await waitUntil('the shrink is found', () => volume.log.includes('has shrunk'), 60_000);
      expect(sizeOf(volume.device)).to.equal(grownMebibytes * mebibyte);
      const write = (megabyte: number) =>
        run('dd', [
          'if=/dev/zero',
          `of=${volume.device}`,
          `seek=${megabyte}`,
          'bs=1M',
          'count=1',
          'oflag=direct',
        ]);
      expect((await write(firstMebibytes - 1)).code).to.equal(0);
      expect((await write(firstMebibytes)).stderr).to.contain('Input/output error');
      expect(await waitingProcesses()).to.deep.equal([]);
    });
  });
}
