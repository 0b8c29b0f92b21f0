/** Trim, zeroes, flush and FUA where the target supports all of them, and a logical unit with blocks of 4096 bytes. */
import { expect } from 'chai';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, runOk } from '../helpers/programs.ts';
import { fioVerify, qemuIo, queueAttribute } from './guest/block-device.ts';
import { check, checksums, fileSystems, fill, make, mounted } from './guest/file-system.ts';
import { targets } from './guest/machine.ts';
import { ServedVolume } from './guest/served-volume.ts';

const mebibyte = 2 ** 20;

for (const { name, url } of [
  { name: 'iSER', url: 'lio_iser_thin_url' },
  { name: 'TCP', url: 'lio_tcp_thin_url' },
]) {
  describe(`a thin provisioned logical unit with a write cache, over ${name}`, () => {
    let volume: ServedVolume;
    let backing = '';

    before(async () => {
      volume = await ServedVolume.start(url);
      backing = await targets.variable('lio_file');
    });
    after(() => volume.remove());

    /** Bytes that the target's file takes up. */
    const allocated = (): number => statSync(backing).blocks * 512;

    it('has a device that can flush, FUA and discard', () => {
      expect(queueAttribute(volume.device, 'write_cache')).to.equal('write back');
      expect(queueAttribute(volume.device, 'fua')).to.equal('1');
      expect(Number(queueAttribute(volume.device, 'discard_max_bytes'))).to.be.greaterThan(0);
    });

    it('gives space back when blocks are discarded, and reads zeroes there', async () => {
      await qemuIo(volume.uri, ['write -P 0x77 8M 8M', 'write -P 0x78 16M 1M', 'flush']);
      const full = allocated();
      await runOk('blkdiscard', [
        '-o',
        String(8 * mebibyte),
        '-l',
        String(8 * mebibyte),
        volume.device,
      ]);
      expect(full - allocated()).to.be.at.least(7 * mebibyte);
      await qemuIo(volume.uri, ['read -P 0 8M 8M', 'read -P 0x78 16M 1M']);
    });

    it('is zeroed by blkdiscard -z, and nothing beside it is', async () => {
      await qemuIo(volume.uri, ['write -P 0x55 24M 3M', 'flush']);
      await runOk('blkdiscard', [
        '-z',
        '-o',
        String(25 * mebibyte),
        '-l',
        String(mebibyte),
        volume.device,
      ]);
      await qemuIo(volume.uri, ['read -P 0x55 24M 1M', 'read -P 0 25M 1M', 'read -P 0x55 26M 1M']);
    });

    it('keeps the allocation of zeroes written without unmap, drops it with unmap', async () => {
      await qemuIo(volume.uri, ['write -P 0x66 32M 4M', 'flush']);
      const full = allocated();
      await qemuIo(volume.uri, ['write -z 32M 4M', 'flush', 'read -P 0 32M 4M']);
      expect(allocated()).to.be.at.least(full);
      await qemuIo(volume.uri, ['write -z -u 32M 4M', 'flush', 'read -P 0 32M 4M']);
      expect(full - allocated()).to.be.at.least(3 * mebibyte);
    });

    it('has a write with FUA in its file when the write is answered', async () => {
      await qemuIo(volume.uri, ['write -f -P 0x99 48M 64k']);
      const file = readFileSync(backing).subarray(48 * mebibyte, 48 * mebibyte + 65_536);
      expect(new Set(file)).to.deep.equal(new Set([0x99]));
    });

    it('gives space back to fstrim on a mounted file system', async () => {
      const [ext4] = fileSystems;
      const mountPoint = join(volume.directory, 'mount');
      const big = join(mountPoint, 'big');
      await make(ext4, volume.device);
      await mounted(volume.device, mountPoint, async () => {
        writeFileSync(big, Buffer.alloc(24 * mebibyte, 0xee));
        await runOk('sync', ['-f', mountPoint]);
        const full = allocated();
        await runOk('rm', [big]);
        await runOk('sync', ['-f', mountPoint]);
        await runOk('fstrim', ['-v', mountPoint]);
        expect(full - allocated()).to.be.at.least(20 * mebibyte);
      });
      await check(ext4, volume.device);
    });
  });
}

for (const { name, url } of [
  { name: 'iSER', url: 'lio_iser_4k_url' },
  { name: 'TCP', url: 'lio_tcp_4k_url' },
]) {
  describe(`a logical unit with blocks of 4096 bytes, over ${name}`, () => {
    let volume: ServedVolume;

    before(async () => {
      volume = await ServedVolume.start(url);
    });
    after(() => volume.remove());

    it('is a device with blocks of 4096 bytes, which refuses smaller direct writes', async () => {
      expect(queueAttribute(volume.device, 'logical_block_size')).to.equal('4096');
      const argv = ['if=/dev/zero', `of=${volume.device}`, 'bs=512', 'count=1', 'oflag=direct'];
      expect((await run('dd', argv)).code).to.equal(1);
    });

    it('keeps what fio writes in sizes from 4 KiB to 1 MiB', async () => {
      const sizes = '4k/60:16k/10:64k/12:256k/8:512k/6:1m/4';
      await runOk('fio', fioVerify(volume.device, { sizeBytes: 8 * mebibyte, sizes }));
    });

    it('holds ext4, clean and with equal checksums', async () => {
      const [ext4] = fileSystems;
      const mountPoint = join(volume.directory, 'mount');
      await make(ext4, volume.device);
      const before = await mounted(volume.device, mountPoint, () => {
        fill(mountPoint);
        return checksums(mountPoint);
      });
      await check(ext4, volume.device);
      const after = await mounted(volume.device, mountPoint, () => checksums(mountPoint));
      expect(after).to.deep.equal(before);
    });
  });
}
