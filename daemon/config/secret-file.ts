import { ConfigurationError } from '../../src/errors.ts';
import { readSafeFile } from './safe-file.ts';
import { keepSecret } from './secret.ts';

/**
 * Reads a CHAP secret: the file's bytes without a final newline. Refused when the file is not safe (readSafeFile), or empty
 * (RFC 7143 §12.1.3 asks for 96 bits; shorter ones draw no error, as targets in use have them).
 */
export function readSecretFile(path: string): Uint8Array {
  const bytes = readSafeFile(path);
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
  if (end === 0) throw new ConfigurationError('secret-empty', `${path}: holds no secret`);
  return keepSecret(bytes.subarray(0, end));
}
