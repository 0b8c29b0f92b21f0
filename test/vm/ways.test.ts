/** The main job, over every way to a target: a kernel device and a Unix socket, data, file systems, an orderly end. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../helpers/programs.ts';
import { waitUntil } from '../helpers/wait.ts';
import {
  directRead,
  directWrite,
  fioVerify,
  isAttached,
  qemuIo,
  sizeOf,
} from './guest/block-device.ts';
import { check, checksums, fileSystems, fill, make, mounted } from './guest/file-system.ts';
import { sessionsAtTarget, ways } from './guest/machine.ts';
import { ServedVolume } from './guest/served-volume.ts';

const kibibyte = 1024;
const mebibyte = 2 ** 20;
const directSizes = [512, 4096, 64 * kibibyte, 512 * kibibyte, mebibyte, 8 * mebibyte] as const;

for (const way of ways) {
  describe(`a logical unit of ${way.name}`, () => {
    let volume: ServedVolume;

    before(async () => {
      volume = await ServedVolume.start(way.url);
    });
    after(() => volume.remove());

    it('is a kernel device of the right size', () => {
      expect(volume.device).to.match(/^\/dev\/nbd\d+$/);
      expect(sizeOf(volume.device)).to.equal(way.sizeBytes);
    });

    it('keeps what fio writes in sizes from 512 B to 1 MiB', async () => {
      await runOk('fio', fioVerify(volume.device, { sizeBytes: 6 * mebibyte }));
    });

    for (const bytes of directSizes) {
      it(`reads back one direct write of ${bytes} bytes`, async () => {
        const there = join(volume.directory, 'there');
        const back = join(volume.directory, 'back');
        const offset = 64 * mebibyte + 512;
        writeFileSync(there, randomBytes(bytes));
        await directWrite(volume.device, there, bytes, offset);
        await directRead(volume.device, back, bytes, offset);
        expect(readFileSync(back).equals(readFileSync(there))).to.equal(true);
      });
    }

    it('takes 8 MiB as one NBD request', async () => {
      await qemuIo(volume.uri, ['write -P 0x5a 96M 8M', 'flush', 'read -P 0x5a 96M 8M']);
    });

    it('shows the kernel device what a socket client wrote', async () => {
      const file = join(volume.directory, 'back');
      await qemuIo(volume.uri, ['write -P 0x11 128M 64k']);
      await directRead(volume.device, file, 64 * kibibyte, 128 * mebibyte);
      expect(new Set(readFileSync(file))).to.deep.equal(new Set([0x11]));
    });

    if (way.transport === 'iser') {
      it('serves most transfers from the registration cache, within its limit', async () => {
        const [lane] = (await volume.status()).lanes;
        const [registration] = lane.registrations;
        expect(registration.strategy).to.equal('cache');
        expect(registration.hits).to.be.greaterThan(registration.misses);
        expect(registration.pinnedBytes).to.be.within(1, 256 * mebibyte);
      });
    }

    for (const fileSystem of fileSystems) {
      it(`holds ${fileSystem.name}, clean and with equal checksums after a new login`, async () => {
        const mountPoint = join(volume.directory, 'mount');
        await make(fileSystem, volume.device);
        const before = await mounted(volume.device, mountPoint, () => {
          fill(mountPoint);
          return checksums(mountPoint);
        });
        await check(fileSystem, volume.device);
        const { code, stderr } = await volume.stop();
        expect(code, stderr).to.equal(0);
        await volume.start();
        const after = await mounted(
          volume.device,
          mountPoint,
          () => checksums(mountPoint),
          '-o',
          'ro',
        );
        expect(after).to.deep.equal(before);
        await check(fileSystem, volume.device);
      });
    }

    it('is detached, logged out and gone with exit code 0 after SIGTERM', async () => {
      const { device } = volume;
      expect(isAttached(device)).to.equal(true);
      expect(await sessionsAtTarget(way)).to.equal(1);
      const { code, stderr } = await volume.stop();
      expect(code, stderr).to.equal(0);
      expect(isAttached(device)).to.equal(false);
      await waitUntil(
        'the target shows no session',
        async () => (await sessionsAtTarget(way)) === 0,
      );
    });
  });
}
