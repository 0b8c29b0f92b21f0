/** A BHS in a larger buffer, so that a codec that ignores its offset or writes beyond 48 bytes is found out. */
export const bhsOffset = 64;
export const dataOffset = 128;

export interface Scratch {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Filled with 0xee: a writer must not leave old bytes in a header. */
export function scratch(): Scratch {
  const bytes = new Uint8Array(512).fill(0xee);
  // A view that does not start at 0 of its buffer, as an arena's may.
  const buffer = new Uint8Array(16 + bytes.length);
  buffer.fill(0xee);
  const inner = new Uint8Array(buffer.buffer, 16, bytes.length);
  return { bytes: inner, view: new DataView(buffer.buffer, 16, bytes.length) };
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** The 48 bytes that were written, four to a group; fails when bytes around them changed. */
export function writtenBhs({ bytes }: Scratch): string {
  const around = [...bytes.subarray(0, bhsOffset), ...bytes.subarray(bhsOffset + 48)];
  if (around.some((byte) => byte !== 0xee)) throw new Error('bytes around the BHS were written');
  return hexOf(bytes.subarray(bhsOffset, bhsOffset + 48)).replace(/(.{8})(?=.)/g, '$1 ');
}

/** A buffer with the BHS given in hexadecimal words and a data segment. */
export function received(words: string, data: Uint8Array = new Uint8Array(0)): Scratch {
  const result = scratch();
  const bhs = Buffer.from(words.replaceAll(' ', ''), 'hex');
  if (bhs.length !== 48) throw new Error(`a BHS has 48 bytes, not ${bhs.length}`);
  result.bytes.set(bhs, bhsOffset);
  result.bytes.set(data, dataOffset);
  return result;
}
