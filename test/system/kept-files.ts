/** Files that one boot writes on the volume and the next one must find. */
import { createHash } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';

export const mountPoint = '/srv/data';

const fileBytes = 3 * 2 ** 20;
const names = ['first', 'second', 'third'];

function content(name: string): Buffer {
  const block = createHash('sha512').update(name).digest();
  return Buffer.alloc(fileBytes, block);
}

/** The last one is left in the page cache: a shutdown has to write it. */
export function writeFiles(): void {
  for (const name of names) {
    const fd = openSync(`${mountPoint}/${name}`, 'w');
    writeSync(fd, content(name));
    if (name !== names.at(-1)) fsyncSync(fd);
    closeSync(fd);
  }
}

/** Throws when one is not as it was written. */
export function expectFiles(): void {
  for (const name of names)
    if (!readFileSync(`${mountPoint}/${name}`).equals(content(name)))
      throw new Error(`${mountPoint}/${name} is not what was written`);
}
