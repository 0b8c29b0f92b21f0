/** Files that must be nobody else's: CHAP secrets, private keys. */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import type { Stats } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { ConfigurationError } from '../../src/errors.ts';

/** Neither secrets nor keys are longer; what is, is another file. */
const maximumBytes = 64 * 1024;
/** As path_resolution(7) has it. */
const maximumLinks = 40;

/**
 * The bytes of a file that only its owner can read, and that nobody but root and ourselves can put in its place. Refused with the
 * reason (ConfigurationError):
 * - what is no regular file, is empty or too long;
 * - a file that others may read or write;
 * - an owner, of the file or of a directory or symbolic link on the way, who is neither root nor the daemon's user: it is the owner who says
 *   what stands there;
 * - a directory on the way that others may write to, unless it is sticky: they could rename the file and leave their own. A symbolic link is
 *   followed, as its place has passed the same test.
 */
export function readSafeFile(path: string): Uint8Array {
  try {
    return readChecked(path);
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    const { message } = error as Error;
    throw new ConfigurationError('secret-unreadable', `${path}: ${message}`, { cause: error });
  }
}

function readChecked(path: string): Uint8Array {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
  // Non-blocking: a FIFO must be refused, not waited for.
  const fd = openSync(followSafely(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) refuse('secret-not-a-file', path, 'is not a regular file');
    refuseForeign(path, status);
    if ((status.mode & 0o077) !== 0) {
      refuse(
        'secret-mode',
        path,
        `mode ${octal(status.mode)} lets others read the secret; chmod 600 it`,
      );
    }
    if (status.size > maximumBytes) refuse('secret-too-long', path, `has ${status.size} bytes`);
    const bytes = new Uint8Array(status.size);
    return bytes.subarray(0, readSync(fd, bytes));
  } finally {
    closeSync(fd);
  }
}

/** Resolves the path as open(2) would, but refuses every step that somebody else could turn elsewhere. */
function followSafely(path: string): string {
  const pending = resolve(path).split('/').filter(Boolean);
  let at = '/';
  let links = 0;
  checkDirectory(at, lstatSync(at));
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (name === '..') {
      at = dirname(at);
      continue;
    }
    const next = join(at, name);
    const status = lstatSync(next);
    if (status.isSymbolicLink()) {
      refuseForeign(next, status);
      if (++links > maximumLinks) refuse('secret-unreadable', path, 'too many symbolic links');
      const target = readlinkSync(next);
      if (target.startsWith('/')) at = '/';
      pending.unshift(...target.split('/').filter((part) => part !== '' && part !== '.'));
      continue;
    }
    if (pending.length > 0 && status.isDirectory()) checkDirectory(next, status);
    at = next;
  }
  return at;
}

function checkDirectory(path: string, status: Stats): void {
  refuseForeign(path, status);
  const othersWrite = (status.mode & 0o022) !== 0;
  const sticky = (status.mode & 0o1000) !== 0;
  if (othersWrite && !sticky) {
    const mode = octal(status.mode);
    refuse('secret-directory', path, `mode ${mode} lets others replace the secret in it`);
  }
}

function refuseForeign(path: string, { uid }: Stats): void {
  const ourselves = process.geteuid?.() ?? 0;
  if (uid === 0 || uid === ourselves) return;
  refuse('secret-owner', path, `belongs to user ${uid}, who is neither root nor the daemon's`);
}

function refuse(code: string, path: string, reason: string): never {
  throw new ConfigurationError(code, `${path}: ${reason}`);
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0');
}
