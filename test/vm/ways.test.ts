/** The main job, over every way to a target: a kernel device and a Unix socket, data, file systems, an orderly end. */
import { expect } from 'chai';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { IserdProcess, runOk } from '../helpers/programs.ts';
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
import { initiatorOptions, sessionsAtTarget, targets, ways } from './guest/machine.ts';

const kibibyte = 1024;
const mebibyte = 2 ** 20;
const directSizes = [
  512,
  4 * kibibyte,
  64 * kibibyte,
  512 * kibibyte,
  mebibyte,
  8 * mebibyte,
] as const;

for (const way of ways) {
  describe(`a logical unit of ${way.name}`, () => {
    let directory = '';
    let iserd: IserdProcess;
    let device = '';
    let uri = '';

    async function start(): Promise<void> {
      iserd = await IserdProcess.start([
        'serve',
        await targets.variable(way.url),
        ...initiatorOptions(),
        '--device',
        'auto',
        '--socket',
        join(directory, 'nbd.sock'),
      ]);
      device = iserd.device ?? '';
      uri = iserd.uri ?? '';
    }

    before(async () => {
      directory = mkdtempSync(join(tmpdir(), 'iserd-way-'));
      await start();
    });
    after(async () => {
      if (iserd.child.exitCode === null) await iserd.stop();
      rmSync(directory, { recursive: true });
    });

    it('is a kernel device of the right size', () => {
      expect(device).to.match(/^\/dev\/nbd\d+$/);
      expect(sizeOf(device)).to.equal(way.sizeBytes);
    });

    it('keeps what fio writes in sizes from 512 B to 1 MiB', async () => {
      await runOk('fio', fioVerify(device, { sizeBytes: 16 * mebibyte }));
    });

    for (const bytes of directSizes) {
      it(`reads back one direct write of ${bytes} bytes`, async () => {
        const there = join(directory, 'there');
        const back = join(directory, 'back');
        const offset = 64 * mebibyte + 512;
        writeFileSync(there, randomBytes(bytes));
        await directWrite(device, there, bytes, offset);
        await directRead(device, back, bytes, offset);
        expect(readFileSync(back).equals(readFileSync(there))).to.equal(true);
      });
    }

    it('takes 8 MiB as one NBD request', async () => {
      await qemuIo(uri, ['write -P 0x5a 96M 8M', 'flush', 'read -P 0x5a 96M 8M']);
    });

    it('shows the kernel device what a socket client wrote', async () => {
      const file = join(directory, 'back');
      await qemuIo(uri, ['write -P 0x11 128M 64k']);
      await directRead(device, file, 64 * kibibyte, 128 * mebibyte);
      expect(new Set(readFileSync(file))).to.deep.equal(new Set([0x11]));
    });

    for (const fileSystem of fileSystems) {
      it(`holds ${fileSystem.name}, clean and with equal checksums after a new login`, async () => {
        const mountPoint = join(directory, 'mount');
        await make(fileSystem, device);
        const before = await mounted(device, mountPoint, () => {
          fill(mountPoint);
          return checksums(mountPoint);
        });
        await check(fileSystem, device);
        const { code, stderr } = await iserd.stop();
        expect(code, stderr).to.equal(0);
        await start();
        const after = await mounted(device, mountPoint, () => checksums(mountPoint), '-o', 'ro');
        expect(after).to.deep.equal(before);
        await check(fileSystem, device);
      });
    }

    it('is detached, logged out and gone with exit code 0 after SIGTERM', async () => {
      expect(isAttached(device)).to.equal(true);
      expect(await sessionsAtTarget(way)).to.equal(1);
      const { code, stderr } = await iserd.stop();
      expect(code, stderr).to.equal(0);
      expect(isAttached(device)).to.equal(false);
      await waitUntil(
        'the target shows no session',
        async () => (await sessionsAtTarget(way)) === 0,
      );
    });
  });
}
