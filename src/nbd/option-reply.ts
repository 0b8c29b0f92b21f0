import {
  allocationContextName,
  Info,
  maximumStringLength,
  optionReplyHeaderLength,
  optionReplyMagicHigh,
  optionReplyMagicLow,
} from './constants.ts';
import type { BlockSizes } from './export.ts';

const encoder = new TextEncoder();

/**
 * Replies to one option, gathered in wire order (proto.md: Option haggling):
 *   magic u64 | option u32 | reply type u32 | length u32 | data
 */
export class OptionReplies {
  readonly #option: number;
  readonly #parts: Uint8Array[] = [];

  constructor(option: number) {
    this.#option = option;
  }

  add(type: number, data: Uint8Array = new Uint8Array(0)): this {
    const header = new DataView(new ArrayBuffer(optionReplyHeaderLength));
    header.setUint32(0, optionReplyMagicHigh);
    header.setUint32(4, optionReplyMagicLow);
    header.setUint32(8, this.#option);
    header.setUint32(12, type);
    header.setUint32(16, data.length);
    this.#parts.push(new Uint8Array(header.buffer), data);
    return this;
  }

  /** An error reply with its text for people, cut to the longest legal string. */
  addError(type: number, message: string): this {
    const text = encoder.encode(message);
    return this.add(type, text.subarray(0, maximumStringLength));
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#parts);
  }
}

/** NBD_REP_SERVER: name length u32 | name | description. */
export function serverData(name: string, description: string): Uint8Array {
  const nameBytes = encoder.encode(name);
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, nameBytes.length);
  return Buffer.concat([new Uint8Array(length.buffer), nameBytes, encoder.encode(description)]);
}

/** NBD_REP_META_CONTEXT: id u32 | name. */
export function metaContextData(id: number): Uint8Array {
  const head = new DataView(new ArrayBuffer(4));
  head.setUint32(0, id);
  return Buffer.concat([new Uint8Array(head.buffer), encoder.encode(allocationContextName)]);
}

/** NBD_INFO_EXPORT: type u16 | size u64 | transmission flags u16. */
export function exportInfo(sizeBytes: number, flags: number): Uint8Array {
  const data = new DataView(new ArrayBuffer(12));
  data.setUint16(0, Info.export);
  data.setBigUint64(2, BigInt(sizeBytes));
  data.setUint16(10, flags);
  return new Uint8Array(data.buffer);
}

/** NBD_INFO_NAME and NBD_INFO_DESCRIPTION: type u16 | text. */
export function textInfo(type: number, text: string): Uint8Array {
  const head = new DataView(new ArrayBuffer(2));
  head.setUint16(0, type);
  return Buffer.concat([new Uint8Array(head.buffer), encoder.encode(text)]);
}

/** NBD_INFO_BLOCK_SIZE: type u16 | minimum u32 | preferred u32 | maximum u32. */
export function blockSizeInfo(sizes: BlockSizes): Uint8Array {
  const data = new DataView(new ArrayBuffer(14));
  data.setUint16(0, Info.blockSize);
  data.setUint32(2, sizes.minimum);
  data.setUint32(6, sizes.preferred);
  data.setUint32(10, sizes.maximum);
  return new Uint8Array(data.buffer);
}

/**
 * The reply to NBD_OPT_EXPORT_NAME, which has no header: size u64 | transmission flags u16 | 124 zero bytes, the last
 * unless both sides have agreed on NO_ZEROES.
 */
export function exportNameReply(sizeBytes: number, flags: number, noZeroes: boolean): Uint8Array {
  const data = new DataView(new ArrayBuffer(noZeroes ? 10 : 134));
  data.setBigUint64(0, BigInt(sizeBytes));
  data.setUint16(8, flags);
  return new Uint8Array(data.buffer);
}
