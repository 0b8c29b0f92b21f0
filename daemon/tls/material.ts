/** Certificates and keys of TLS listeners, from files. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { ConfigurationError } from '../../src/errors.ts';
import { readSafeFile } from '../config/safe-file.ts';
import { forget, keepSecret } from '../config/secret.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Signer of the certificates that clients must show. */
  readonly clientCa: string;
  /** Of what was in the files when the configuration was read: other files, another listener. */
  readonly fingerprint?: string;
}

interface TlsMaterial {
  readonly certificate: Uint8Array;
  /** To be forgotten. */
  readonly key: Uint8Array;
  readonly clientCa: Uint8Array;
}

/** The same for the same contents. Throws ConfigurationError when the files cannot be used. */
export function tlsFingerprint(files: TlsFiles): string {
  const { certificate, key, clientCa } = readMaterial(files);
  const hash = createHash('sha256');
  for (const part of [certificate, key, clientCa])
    hash.update(createHash('sha256').update(part).digest());
  forget(key);
  return hash.digest('hex');
}

/** Reads the files and makes sure that they are what they should be and belong together. */
export function readMaterial(files: TlsFiles): TlsMaterial {
  const certificate = readPublicFile(files.certificate);
  const clientCa = readPublicFile(files.clientCa);
  const key = keepSecret(readSafeFile(files.key));
  try {
    createSecureContext({
      cert: Buffer.from(certificate),
      ca: Buffer.from(clientCa),
      key: Buffer.from(key.buffer, 0, key.length),
    });
  } catch (error) {
    forget(key);
    throw new ConfigurationError(
      'tls-material',
      `TLS: ${files.certificate}, ${files.key}, ${files.clientCa}: ${(error as Error).message}`,
    );
  }
  return { certificate, key, clientCa };
}

function readPublicFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ConfigurationError('tls-material', `${path}: ${(error as Error).message}`);
  }
}
