import { ConfigurationError, assert } from '../errors.ts';

/** ISID: six bytes that tell apart the sessions of one initiator name with one target portal group (RFC 7143 §11.12.5). */
export const isidLength = 6;

/** T field 10b: bytes 1 to 3 are a random number, bytes 4 and 5 a qualifier. */
const randomFormat = 0x80;

/** @param random 24 bits. @param qualifier 16 bits. */
export function makeIsid(random: number, qualifier: number): Uint8Array {
  assert(random >= 0 && random <= 0xffffff, 'ISID random number has 24 bits');
  assert(qualifier >= 0 && qualifier <= 0xffff, 'ISID qualifier has 16 bits');
  const isid = new Uint8Array(isidLength);
  isid[0] = randomFormat;
  isid[1] = random >>> 16;
  isid[2] = random >>> 8;
  isid[3] = random;
  isid[4] = qualifier >>> 8;
  isid[5] = qualifier;
  return isid;
}

/**
 * The same ISID for the same name and qualifier after a restart, so that the target ends the stale session before the new
 * one runs anything (RFC 7143 §6.3.5, session reinstatement). The name picks the 24 bits (FNV-1a, folded).
 */
export function isidForName(name: string, qualifier: number): Uint8Array {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  }
  return makeIsid((hash >>> 24) ^ (hash & 0xffffff), qualifier);
}

/** Twelve hexadecimal digits. */
export function formatIsid(isid: Uint8Array): string {
  return Array.from(isid, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Reads twelve hexadecimal digits; colons between bytes are ignored. */
export function parseIsid(text: string): Uint8Array {
  const digits = text.replaceAll(':', '');
  if (!/^[0-9a-f]{12}$/i.test(digits)) {
    throw new ConfigurationError('ISID_INVALID', 'an ISID is 12 hexadecimal digits');
  }
  return Uint8Array.from({ length: isidLength }, (_, i) =>
    parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
}
