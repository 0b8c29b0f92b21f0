import { expect } from 'chai';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  deviceUsers,
  realFiles,
  type DeviceFiles,
} from '../../../../daemon/restart/device-users.ts';

function missing(code = 'ENOENT'): Promise<never> {
  return Promise.reject(Object.assign(new Error(code), { code }));
}

/** A machine with /dev/nbd5, which has one partition. */
class FakeMachine implements DeviceFiles {
  readonly files = new Map([
    ['/sys/class/block/nbd5/dev', '43:160\n'],
    ['/sys/class/block/nbd5p1/dev', '43:161\n'],
    ['/proc/self/mountinfo', '22 1 8:1 / / rw - ext4 /dev/sda1 rw\n'],
    ['/proc/swaps', 'Filename\tType\tSize\tUsed\tPriority\n/dev/sda2 partition 100 0 -2\n'],
    ['/proc/42/comm', 'qemu\n'],
  ]);
  readonly directories = new Map([
    ['/sys/block/nbd5', ['nbd5p1', 'queue']],
    ['/proc', ['self', '42', '43']],
    ['/proc/42/fd', ['0', '7', '8']],
  ]);
  readonly links = new Map([['/proc/42/fd/0', '/dev/null']]);
  claimed = false;

  readFile(path: string): Promise<string> {
    const text = this.files.get(path);
    return text === undefined ? missing() : Promise.resolve(text);
  }

  readDirectory(path: string): Promise<string[]> {
    const names = this.directories.get(path);
    return names === undefined ? missing('EACCES') : Promise.resolve(names);
  }

  readLink(path: string): Promise<string> {
    const target = this.links.get(path);
    return target === undefined ? missing() : Promise.resolve(target);
  }

  claim(path: string): Promise<void> {
    expect(path).to.equal('/dev/nbd5');
    return this.claimed ? missing('EBUSY') : Promise.resolve();
  }

  mount(line: string): void {
    this.files.set(
      '/proc/self/mountinfo',
      `${this.files.get('/proc/self/mountinfo') ?? ''}${line}\n`,
    );
  }
}

describe('who uses a device', () => {
  let machine: FakeMachine;
  beforeEach(() => {
    machine = new FakeMachine();
  });

  it('is nobody', async () => {
    expect(await deviceUsers('nbd5', machine)).to.deep.equal([]);
  });

  it('is a mount of it or of a partition, whatever its source is called', async () => {
    machine.mount('40 22 43:160 / /mnt/a\\040b rw shared:7 - ext4 /dev/disk/by-label/x rw');
    machine.mount('41 22 43:161 / /srv rw - xfs /dev/nbd5p1 rw');
    expect(await deviceUsers('nbd5', machine)).to.deep.equal([
      'mounted on /mnt/a b',
      'mounted on /srv',
    ]);
  });

  it('is a file system that has a number of its own (btrfs)', async () => {
    machine.mount('41 22 0:48 /vol /srv rw master:1 propagate_from:2 - btrfs /dev/nbd5 rw');
    expect(await deviceUsers('nbd5', machine)).to.deep.equal(['mounted on /srv']);
  });

  it('is swap space', async () => {
    machine.files.set('/proc/swaps', 'Filename\n/dev/nbd5p1 partition 100 0 -2\n');
    expect(await deviceUsers('nbd5', machine)).to.deep.equal(['swap space']);
  });

  it('is device mapper', async () => {
    machine.directories.set('/sys/class/block/nbd5p1/holders', ['dm-3']);
    expect(await deviceUsers('nbd5', machine)).to.deep.equal(['held by dm-3']);
  });

  it('is a process that has it open, named once', async () => {
    machine.links.set('/proc/42/fd/7', '/dev/nbd5');
    machine.links.set('/proc/42/fd/8', '/dev/nbd5p1');
    expect(await deviceUsers('nbd5', machine)).to.deep.equal(['open in process 42 (qemu)']);
  });

  it('is not who uses a device with a longer number', async () => {
    machine.mount('41 22 43:1600 / /srv rw - xfs /dev/nbd50 rw');
    machine.links.set('/proc/42/fd/7', '/dev/nbd50');
    expect(await deviceUsers('nbd5', machine)).to.deep.equal([]);
  });

  it('is somebody whom only the kernel knows', async () => {
    machine.claimed = true;
    expect(await deviceUsers('nbd5', machine)).to.deep.equal(['claimed within the kernel']);
  });

  it('is asked from the real files', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'iserd-users-'));
    try {
      writeFileSync(join(directory, 'file'), 'text');
      symlinkSync('file', join(directory, 'link'));
      expect(await realFiles.readDirectory(directory)).to.have.members(['file', 'link']);
      expect(await realFiles.readFile(join(directory, 'file'))).to.equal('text');
      expect(await realFiles.readLink(join(directory, 'link'))).to.equal('file');
      await realFiles.claim(join(directory, 'file'));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
