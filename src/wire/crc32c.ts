/**
 * CRC32C, the digest of iSCSI over TCP (RFC 7143 §13.1: generator 0x11edc6f41, reflected, initial value and
 * final XOR all ones). Slicing by eight: one table of 256 entries per byte of the step.
 */
const reflectedPolynomial = 0x82f63b78;
const slices = 8;
const table = makeTables();

function makeTables(): Int32Array {
  const tables = new Int32Array(slices * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? reflectedPolynomial : 0);
    tables[byte] = crc;
  }
  for (let i = 256; i < tables.length; i++) {
    const previous = tables[i - 256];
    tables[i] = (previous >>> 8) ^ tables[previous & 0xff];
  }
  return tables;
}

/**
 * CRC32C of bytes [offset, offset + length), as an unsigned number. `previous` is the CRC of what came before, so that a digest
 * can be computed piece by piece.
 */
export function crc32c(bytes: Uint8Array, offset: number, length: number, previous = 0): number {
  let crc = ~previous;
  let at = offset;
  const end = offset + length;
  for (const last = end - 8; at <= last; at += 8) {
    crc ^= bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
    crc =
      table[0x700 | (crc & 0xff)] ^
      table[0x600 | ((crc >>> 8) & 0xff)] ^
      table[0x500 | ((crc >>> 16) & 0xff)] ^
      table[0x400 | (crc >>> 24)] ^
      table[0x300 | bytes[at + 4]] ^
      table[0x200 | bytes[at + 5]] ^
      table[0x100 | bytes[at + 6]] ^
      table[bytes[at + 7]];
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ table[(crc ^ bytes[at]) & 0xff];
  return ~crc >>> 0;
}

/** Writes a digest as it goes on the wire: least significant byte first (RFC 7143 Appendix A's examples show the bytes). */
export function setDigest(view: DataView, offset: number, crc: number): void {
  view.setUint32(offset, crc, true);
}

/** Reads a digest from the wire. */
export function digestAt(view: DataView, offset: number): number {
  return view.getUint32(offset, true);
}
