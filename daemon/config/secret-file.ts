import { join } from 'node:path';
import { ConfigurationError } from '../../src/errors.ts';
import { readSafeFile } from './safe-file.ts';
import { keepSecret } from './secret.ts';

const credentialPrefix = 'credential:';

/**
 * Reads a CHAP secret: the file's bytes without a final newline. `source` is a path, or "credential:NAME" for what the service manager
 * has passed under that name (LoadCredential= in systemd.exec(5)). Refused when the file is not safe (readSafeFile), or empty
 * (RFC 7143 §12.1.3 asks for 96 bits; shorter ones draw no error, as targets in use have them).
 */
export function readSecretFile(source: string, environment = process.env): Uint8Array {
  const path = source.startsWith(credentialPrefix)
    ? credentialPath(source.slice(credentialPrefix.length), environment)
    : source;
  const bytes = readSafeFile(path);
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
  if (end === 0) throw new ConfigurationError('secret-empty', `${path}: holds no secret`);
  return keepSecret(bytes.subarray(0, end));
}

function credentialPath(name: string, environment: NodeJS.ProcessEnv): string {
  const directory = environment['CREDENTIALS_DIRECTORY'];
  if (directory === undefined)
    throw new ConfigurationError(
      'no-credentials',
      `credential:${name}: the service manager has passed no credentials; add LoadCredential=${name}:/path/of/the/secret to the service`,
    );
  if (!/^[^/]+$/.test(name) || name === '.' || name === '..')
    throw new ConfigurationError('credential-name', `credential:${name}: is no credential's name`);
  return join(directory, name);
}
