import { ConfigurationError } from '../errors.ts';

/** Highest number that single-level addressing can name (SAM-5 §4.7.7: flat space, 14 bits). */
export const maxLun = 0x3fff;

const flatSpace = 0x4000;

/**
 * The first four bytes of the 8-byte LUN field, as a big-endian number; the other four are zero. Numbers below 256 use
 * peripheral device addressing with bus 0, higher ones flat space addressing (SAM-5 §4.7.7.2 and §4.7.7.3).
 */
export function encodeLun(lun: number): number {
  if (!Number.isInteger(lun) || lun < 0 || lun > maxLun) {
    throw new ConfigurationError('LUN_OUT_OF_RANGE', `LUN ${lun} is not in 0..${maxLun}`);
  }
  return ((lun < 256 ? lun : flatSpace | lun) << 16) >>> 0;
}

/** The number named by the first four bytes of a LUN field (REPORT LUNS); -1 for an addressing method that we cannot use. */
export function decodeLun(lunWord: number): number {
  const method = lunWord >>> 30;
  const number = (lunWord >>> 16) & maxLun;
  if ((lunWord & 0xffff) !== 0) return -1;
  if (method === 1) return number;
  return method === 0 && number < 256 ? number : -1;
}
