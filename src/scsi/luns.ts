/** REPORT LUNS parameter data (SPC-5 §6.33.2) and the LUN field (SAM-6 §4.7). */
import { hexField, parameterView } from './parameter-data.ts';

export interface LogicalUnitNumber {
  /** The number people use, for the two simple address methods; undefined for all others. */
  readonly number: number | undefined;
  /** All 8 bytes in hexadecimal. */
  readonly hex: string;
}

export interface LunList {
  readonly luns: readonly LogicalUnitNumber[];
  /** LUN LIST LENGTH in bytes: larger than what the allocation length let through means that LUNs are missing. */
  readonly listLength: number;
}

export function parseReportLuns(data: Uint8Array): LunList {
  const view = parameterView(data, 8, 'REPORT LUNS data');
  const listLength = view.getUint32(0);
  const end = Math.min(data.length, 8 + listLength);
  const luns: LogicalUnitNumber[] = [];
  for (let at = 8; at + 8 <= end; at += 8) luns.push(decodeLun(data.subarray(at, at + 8)));
  return { luns, listLength };
}

/** Peripheral device addressing (00b, bus 0) and flat space addressing (01b) at the first level, SAM-6 §4.7.7. */
function decodeLun(bytes: Uint8Array): LogicalUnitNumber {
  const hex = hexField(bytes);
  const method = bytes[0] >> 6;
  const deeper = bytes.subarray(2).some((byte) => byte !== 0);
  if (deeper || method > 1 || (method === 0 && bytes[0] !== 0)) return { number: undefined, hex };
  return { number: method === 0 ? bytes[1] : ((bytes[0] & 0x3f) << 8) | bytes[1], hex };
}
