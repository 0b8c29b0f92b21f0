import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { ConfigurationError } from '../../src/errors.ts';

/**
 * Reads a CHAP secret: the file's bytes without a final newline. Refused when anybody but the owner may read the file, when it
 * is not a regular file, or empty (RFC 7143 §12.1.3 asks for 96 bits; shorter ones draw no error, as targets in use have them).
 */
export function readSecretFile(path: string): Uint8Array {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw new ConfigurationError('secret-unreadable', `${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  try {
    const status = fstatSync(fd);
    if (!status.isFile())
      throw new ConfigurationError('secret-not-a-file', `${path}: is not a regular file`);
    if ((status.mode & 0o077) !== 0) {
      const mode = (status.mode & 0o777).toString(8).padStart(4, '0');
      throw new ConfigurationError(
        'secret-mode',
        `${path}: mode ${mode} lets others read the secret; chmod 600 it`,
      );
    }
    const bytes = readFileSync(fd);
    let end = bytes.length;
    while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
    if (end === 0) throw new ConfigurationError('secret-empty', `${path}: holds no secret`);
    return new Uint8Array(bytes.subarray(0, end));
  } finally {
    closeSync(fd);
  }
}
