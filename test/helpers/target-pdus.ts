/** PDUs as a target makes them, and an initiator's as a target reads them; written from RFC 7143, not with the code under test. */
import { crc32c } from '../../src/wire/crc32c.ts';

export interface BhsFields {
  readonly opcode: number;
  readonly flags?: number;
  readonly response?: number;
  readonly status?: number;
  readonly ahsWords?: number;
  /** Overrides the length of the data. */
  readonly dataSegmentLength?: number;
  readonly itt?: number;
  /** Bytes 20-23. */
  readonly word20?: number;
  readonly statSn?: number;
  /** DataSN or R2TSN, 36-39. */
  readonly dataSn?: number;
  readonly bufferOffset?: number;
  /** Residual count or desired data transfer length, 44-47. */
  readonly word44?: number;
}

export interface Digests {
  readonly header?: boolean;
  readonly data?: boolean;
}

const noBytes: Uint8Array = new Uint8Array(0);

function digestOf(bytes: Uint8Array): Uint8Array {
  const digest = new Uint8Array(4);
  new DataView(digest.buffer).setUint32(0, crc32c(bytes, 0, bytes.length), true);
  return digest;
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** BHS and AHS. */
export function header(fields: BhsFields, dataLength: number): Uint8Array {
  const bytes = new Uint8Array(48 + (fields.ahsWords ?? 0) * 4);
  const view = new DataView(bytes.buffer);
  bytes[0] = fields.opcode;
  bytes[1] = fields.flags ?? 0x80;
  bytes[2] = fields.response ?? 0;
  bytes[3] = fields.status ?? 0;
  view.setUint32(4, fields.dataSegmentLength ?? dataLength);
  bytes[4] = fields.ahsWords ?? 0;
  view.setUint32(16, fields.itt ?? 0xffffffff);
  view.setUint32(20, fields.word20 ?? 0xffffffff);
  view.setUint32(24, fields.statSn ?? 0);
  view.setUint32(36, fields.dataSn ?? 0);
  view.setUint32(40, fields.bufferOffset ?? 0);
  view.setUint32(44, fields.word44 ?? 0);
  return bytes;
}

/** A PDU on a TCP stream. */
export function targetPdu(fields: BhsFields, data = noBytes, digests: Digests = {}): Uint8Array {
  const head = header(fields, data.length);
  const padded = concat(data, new Uint8Array(-data.length & 3));
  return concat(
    head,
    digests.header === true ? digestOf(head) : noBytes,
    padded,
    digests.data === true && data.length > 0 ? digestOf(padded) : noBytes,
  );
}

/** A control-type PDU as one iSER SEND. */
export function iserMessage(fields: BhsFields, data = noBytes, padding = 0): Uint8Array {
  const iser = new Uint8Array(28);
  iser[0] = 0x10;
  return concat(iser, header(fields, data.length), data, new Uint8Array(padding));
}

export interface InitiatorPdu {
  readonly opcode: number;
  readonly flags: number;
  readonly itt: number;
  /** TTT or expected data transfer length. */
  readonly word20: number;
  readonly expStatSn: number;
  readonly dataSn: number;
  readonly bufferOffset: number;
  readonly lun: Uint8Array;
  readonly data: Uint8Array;
  readonly headerDigestOk: boolean;
  readonly dataDigestOk: boolean;
}

/** Cuts what an initiator has sent into PDUs; throws when bytes are left over. */
export function parseInitiatorPdus(stream: Uint8Array, digests: Digests = {}): InitiatorPdu[] {
  const pdus: InitiatorPdu[] = [];
  let at = 0;
  while (at < stream.length) {
    const view = new DataView(stream.buffer, stream.byteOffset + at);
    const length = view.getUint32(4) & 0xffffff;
    const padded = length + (-length & 3);
    const dataAt = at + 48 + (digests.header === true ? 4 : 0);
    const digestAt = dataAt + padded;
    const end = digestAt + (digests.data === true && length > 0 ? 4 : 0);
    if (end > stream.length) throw new Error('the initiator has sent part of a PDU');
    const head = stream.slice(at, at + 48);
    pdus.push({
      opcode: head[0] & 0x3f,
      flags: head[1],
      itt: view.getUint32(16),
      word20: view.getUint32(20),
      expStatSn: view.getUint32(28),
      dataSn: view.getUint32(36),
      bufferOffset: view.getUint32(40),
      lun: head.slice(8, 16),
      data: stream.slice(dataAt, dataAt + length),
      headerDigestOk: same(stream.slice(at + 48, dataAt), digestOf(head)),
      dataDigestOk: same(stream.slice(digestAt, end), digestOf(stream.slice(dataAt, digestAt))),
    });
    at = end;
  }
  return pdus;
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
