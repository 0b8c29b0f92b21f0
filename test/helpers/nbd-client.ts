/** An NBD client made of bytes: every field can be anything, so that a test can lie at any of them. */
import { Command } from '../../src/nbd/constants.ts';

export const clientFlagsBoth = 3;

export function u16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}

export function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

export function u64(value: bigint): Uint8Array {
  return concat(u32(Number(value >> 32n)), u32(Number(value & 0xffffffffn)));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function hexBytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));
}

/** `length` defaults to the truth. */
export function option(code: number, data: Uint8Array = new Uint8Array(0), length = data.length) {
  return concat(utf8('IHAVEOPT'), u32(code), u32(length), data);
}

/** The data of INFO and GO. */
export function infoData(name: string | Uint8Array, infos: readonly number[] = []): Uint8Array {
  const bytes = typeof name === 'string' ? utf8(name) : name;
  return concat(u32(bytes.length), bytes, u16(infos.length), ...infos.map(u16));
}

/** The data of LIST_META_CONTEXT and SET_META_CONTEXT. */
export function metaData(name: string, queries: readonly string[]): Uint8Array {
  const encoded = queries.map((query) => concat(u32(utf8(query).length), utf8(query)));
  return concat(u32(utf8(name).length), utf8(name), u32(queries.length), ...encoded);
}

export interface RequestFields {
  readonly magic?: number;
  readonly flags?: number;
  readonly command: number;
  readonly cookie?: bigint;
  readonly offset?: bigint | number;
  readonly length?: number;
}

/** A request header, and the payload if there is one; `length` defaults to the payload's. */
export function request(fields: RequestFields, payload: Uint8Array = new Uint8Array(0)) {
  return concat(
    u32(fields.magic ?? 0x25609513),
    u16(fields.flags ?? 0),
    u16(fields.command),
    u64(fields.cookie ?? 0n),
    u64(BigInt(fields.offset ?? 0)),
    u32(fields.length ?? payload.length),
    payload,
  );
}

export function read(cookie: bigint, offset: number, length: number, flags = 0): Uint8Array {
  return request({ command: Command.read, cookie, offset, length, flags });
}

export function write(cookie: bigint, offset: number, payload: Uint8Array, flags = 0): Uint8Array {
  return request({ command: Command.write, cookie, offset, flags }, payload);
}

export const disconnect = request({ command: Command.disconnect });

export interface OptionReplyFields {
  readonly option: number;
  readonly type: number;
  readonly data: Uint8Array;
}

/** Takes option replies apart; throws when they are not exactly that. */
export function parseOptionReplies(bytes: Uint8Array): OptionReplyFields[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const replies: OptionReplyFields[] = [];
  for (let at = 0; at < bytes.length;) {
    if (view.getBigUint64(at) !== 0x3e889045565a9n) throw new Error(`no option reply at ${at}`);
    const length = view.getUint32(at + 16);
    if (at + 20 + length > bytes.length) throw new Error('option reply is cut off');
    replies.push({
      option: view.getUint32(at + 8),
      type: view.getUint32(at + 12),
      data: bytes.slice(at + 20, at + 20 + length),
    });
    at += 20 + length;
  }
  return replies;
}

export interface Reply {
  readonly cookie: bigint;
  readonly error: number;
  /** READ: the data. */
  readonly data: Uint8Array;
  /** Structured replies only. */
  readonly chunk?: { readonly flags: number; readonly type: number; readonly body: Uint8Array };
}

/**
 * Takes transmission replies apart. `readLength` says how much data a successful simple reply bears: only the client knows.
 * Throws when a byte is left over.
 */
export function parseReplies(
  bytes: Uint8Array,
  readLength: (cookie: bigint) => number = () => 0,
): Reply[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const replies: Reply[] = [];
  for (let at = 0; at < bytes.length;) {
    const magic = view.getUint32(at);
    const cookie = view.getBigUint64(at + 8);
    if (magic === 0x67446698) {
      const error = view.getUint32(at + 4);
      const length = error === 0 ? readLength(cookie) : 0;
      if (at + 16 + length > bytes.length) throw new Error('simple reply is cut off');
      replies.push({ cookie, error, data: bytes.slice(at + 16, at + 16 + length) });
      at += 16 + length;
    } else if (magic === 0x668e33ef) {
      const length = view.getUint32(at + 16);
      if (at + 20 + length > bytes.length) throw new Error('chunk is cut off');
      const body = bytes.slice(at + 20, at + 20 + length);
      const type = view.getUint16(at + 6);
      replies.push({
        cookie,
        error: type >= 0x8000 ? view.getUint32(at + 20) : 0,
        data: type === 1 ? body.slice(8) : new Uint8Array(0),
        chunk: { flags: view.getUint16(at + 4), type, body },
      });
      at += 20 + length;
    } else {
      throw new Error(`no reply magic at ${at}: 0x${magic.toString(16)}`);
    }
  }
  return replies;
}
