/** File systems on a device: made, filled, checked. */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../../helpers/programs.ts';

export interface FileSystem {
  readonly name: 'ext4' | 'xfs';
  readonly make: readonly [string, ...string[]];
  /** Fails when the file system is not clean; changes nothing. */
  readonly check: readonly [string, ...string[]];
}

export const fileSystems: readonly FileSystem[] = [
  { name: 'ext4', make: ['mkfs.ext4', '-q', '-F'], check: ['e2fsck', '-f', '-n'] },
  // Less than 300 MB and a log of less than 64 MB are for tests only.
  {
    name: 'xfs',
    make: ['mkfs.xfs', '--unsupported', '-q', '-f', '-l', 'size=8m'],
    check: ['xfs_repair', '-n'],
  },
];

export async function make(
  { make: [program, ...argv] }: FileSystem,
  device: string,
): Promise<void> {
  await runOk(program, [...argv, device]);
}

export async function check(
  { check: [program, ...argv] }: FileSystem,
  device: string,
): Promise<void> {
  await runOk(program, [...argv, device]);
}

/** Mounts, runs, unmounts whatever happens. */
export async function mounted<T>(
  device: string,
  directory: string,
  use: () => T | Promise<T>,
  ...options: readonly string[]
): Promise<T> {
  mkdirSync(directory, { recursive: true });
  await runOk('mount', [...options, device, directory]);
  try {
    return await use();
  } finally {
    await runOk('umount', [directory]);
  }
}

/** Some 6 MB in files from one byte to half a megabyte, of random bytes, in nested directories. */
export function fill(directory: string): void {
  for (let i = 0; i < 24; i++) {
    const folder = join(directory, `folder${i % 4}`, `level${i % 3}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `file${i}`), randomBytes(1 + ((i * i * i * 331) % 500_000)));
  }
}

/** Path and SHA-256 of every file, sorted. */
export function checksums(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(directory, name)).isFile())
    .sort()
    .map((name) => {
      const digest = createHash('sha256')
        .update(readFileSync(join(directory, name)))
        .digest('hex');
      return `${digest} ${name}`;
    });
}
