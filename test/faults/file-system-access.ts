/** The third way to the blocks of a volume: a file of a mounted ext4. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, runOk } from '../helpers/programs.ts';
import { check, fileSystems, make } from '../vm/guest/file-system.ts';
import { DeviceAccess, type BlockAccess } from './block-access.ts';

const [ext4] = fileSystems;

export class FileSystemAccess implements BlockAccess {
  readonly name = 'file system';
  readonly #device: string;
  readonly #directory: string;
  readonly #file: DeviceAccess;

  private constructor(device: string, directory: string, file: DeviceAccess) {
    this.#device = device;
    this.#directory = directory;
    this.#file = file;
  }

  /** Makes and mounts the file system. `fileBytes`: of the file, allocated but not written, so that writes change metadata, too. */
  static async open(
    device: string,
    fileBytes: number,
    memoryBytes: number,
  ): Promise<FileSystemAccess> {
    await make(ext4, device);
    const directory = mkdtempSync(join(tmpdir(), 'iserd-mount-'));
    await runOk('mount', [device, directory]);
    const path = join(directory, 'file');
    await runOk('fallocate', ['-l', String(fileBytes), path]);
    // Only reads of what has been written tell whether memory is aligned.
    await runOk('dd', ['if=/dev/zero', `of=${path}`, 'bs=4k', 'count=1', 'conv=notrunc,fsync']);
    return new FileSystemAccess(device, directory, await DeviceAccess.open(path, memoryBytes));
  }

  allocate(length: number): Buffer {
    return this.#file.allocate(length);
  }

  write(offset: number, payload: Buffer): Promise<void> {
    return this.#file.write(offset, payload);
  }

  read(offset: number, into: Buffer): Promise<void> {
    return this.#file.read(offset, into);
  }

  /** Rejects when the file system is not clean. */
  async close(): Promise<void> {
    await this.#file.close();
    await runOk('umount', [this.#directory]);
    rmSync(this.#directory, { recursive: true });
    await check(ext4, this.#device);
  }

  async abandon(): Promise<void> {
    await this.#file.abandon();
    await run('umount', ['--lazy', this.#directory]);
  }
}
