import { createHash, timingSafeEqual } from 'node:crypto';
import { assert } from '../errors.ts';

/** CHAP as iSCSI uses it (RFC 1994, RFC 7143 §12.1.3): response = hash(identifier, secret, challenge). */

/** CHAP_A, from IANA's registry of PPP authentication algorithms. */
export const ChapAlgorithm = { md5: 5, sha1: 6, sha256: 7, sha3With256: 8 } as const;

/** Offered best first. Not 7: tgt takes that number for SHA-1, and its users would fail for no visible reason. */
export const defaultChapAlgorithms: readonly number[] = [
  ChapAlgorithm.sha3With256,
  ChapAlgorithm.sha1,
  ChapAlgorithm.md5,
];

/** RFC 7143 §12.1.3: CHAP_C and CHAP_R are at most 1024 bytes. */
export const maxChapLength = 1024;

interface Algorithm {
  readonly hash: string;
  readonly length: number;
}

const algorithms: ReadonlyMap<number, Algorithm> = new Map<number, Algorithm>([
  [ChapAlgorithm.md5, { hash: 'md5', length: 16 }],
  [ChapAlgorithm.sha1, { hash: 'sha1', length: 20 }],
  [ChapAlgorithm.sha256, { hash: 'sha256', length: 32 }],
  [ChapAlgorithm.sha3With256, { hash: 'sha3-256', length: 32 }],
]);

export function isChapAlgorithm(algorithm: number): boolean {
  return algorithms.has(algorithm);
}

/** Bytes of a response; also a sensible length for a challenge (RFC 1994 §4.1 wants it unique, not short). */
export function chapDigestLength(algorithm: number): number {
  return find(algorithm).length;
}

/** @param identifier CHAP_I, one byte */
export function chapResponse(
  algorithm: number,
  identifier: number,
  secret: Uint8Array,
  challenge: Uint8Array,
): Uint8Array {
  return createHash(find(algorithm).hash)
    .update(Uint8Array.of(identifier))
    .update(secret)
    .update(challenge)
    .digest();
}

/** Compares in a time that does not tell where the difference is. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function find(algorithm: number): Algorithm {
  const found = algorithms.get(algorithm);
  assert(found !== undefined, `CHAP algorithm ${algorithm}`);
  return found;
}
