/** The one place where the length of parameter data from a logical unit is checked before a field of it is read. */
import { ProtocolError } from '../errors.ts';

/** A view of `data`, which must have at least `minimum` bytes. */
export function parameterView(data: Uint8Array, minimum: number, what: string): DataView {
  if (data.length < minimum) {
    throw new ProtocolError(
      'short-parameter-data',
      `${what}: ${data.length} bytes, at least ${minimum} expected`,
    );
  }
  return new DataView(data.buffer, data.byteOffset, data.byteLength);
}

/** An ASCII field: what is not printable becomes '?', trailing blanks and zero bytes go (SPC-5 §4.3.1). */
export function asciiField(data: Uint8Array, start: number, end: number): string {
  let text = '';
  for (const byte of data.subarray(start, end)) {
    if (byte === 0) break;
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '?';
  }
  return text.trim();
}

/** Lower-case hexadecimal of a range. */
export function hexField(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
