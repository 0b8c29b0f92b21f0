/** A target's PDUs, field by field and byte by byte: every one of them can be a lie (RFC 7143 §11, RFC 7145 §9). */
import { crc32c } from '../../src/wire/crc32c.ts';

/** "No tag" (RFC 7143 §11.2.1.8). */
export const noTag = 0xffffffff;

export interface PduFields {
  readonly opcode: number;
  /** Byte 1; default F. */
  readonly flags?: number;
  /** Bytes 2 and 3. */
  readonly response?: number;
  readonly status?: number;
  /** What the header says; default the truth. */
  readonly dataSegmentLength?: number;
  /** What the header says of additional header segments, in words of 4 bytes; they are there, too. */
  readonly ahsWords?: number;
  /** Bytes 8 to 15. */
  readonly lun?: bigint;
  readonly itt?: number;
  /** Target Transfer Tag, bytes 20-23. */
  readonly ttt?: number;
  readonly statSn?: number;
  readonly expCmdSn?: number;
  readonly maxCmdSn?: number;
  /** Bytes 36-39: DataSN, R2TSN. */
  readonly dataSn?: number;
  readonly bufferOffset?: number;
  /** Bytes 44-47: residual count, desired data transfer length. */
  readonly word44?: number;
  /** Single bytes of the header, last of all. */
  readonly bytes?: Readonly<Record<number, number>>;
  readonly data?: Uint8Array;
}

export interface SequenceNumbers {
  readonly statSn: number;
  readonly expCmdSn: number;
  readonly maxCmdSn: number;
}

/** BHS and additional header segments; `numbers` where the fields say nothing. */
export function pduHeader(fields: PduFields, numbers: SequenceNumbers): Uint8Array {
  const bytes = new Uint8Array(48 + 4 * (fields.ahsWords ?? 0));
  const view = new DataView(bytes.buffer);
  bytes[0] = fields.opcode;
  bytes[1] = fields.flags ?? 0x80;
  bytes[2] = fields.response ?? 0;
  bytes[3] = fields.status ?? 0;
  view.setUint32(4, fields.dataSegmentLength ?? fields.data?.length ?? 0);
  bytes[4] = fields.ahsWords ?? 0;
  view.setBigUint64(8, fields.lun ?? 0n);
  view.setUint32(16, fields.itt ?? noTag);
  view.setUint32(20, fields.ttt ?? noTag);
  view.setUint32(24, fields.statSn ?? numbers.statSn);
  view.setUint32(28, fields.expCmdSn ?? numbers.expCmdSn);
  view.setUint32(32, fields.maxCmdSn ?? numbers.maxCmdSn);
  view.setUint32(36, fields.dataSn ?? 0);
  view.setUint32(40, fields.bufferOffset ?? 0);
  view.setUint32(44, fields.word44 ?? 0);
  for (const [at, value] of Object.entries(fields.bytes ?? {})) bytes[Number(at)] = value;
  return bytes;
}

/** What surrounds a PDU on its way. */
export interface Framing {
  /** TCP. */
  readonly headerDigest?: boolean;
  readonly dataDigest?: boolean;
  /** TCP: added to the digests. */
  readonly digestError?: 'header' | 'data';
  /** iSER: the first byte of its header; default a control-type PDU without STags. */
  readonly iserType?: number;
  /** iSER: bytes after the data. */
  readonly iserPadding?: number;
}

function digest(bytes: Uint8Array, wrong: boolean): Uint8Array {
  const field = new Uint8Array(4);
  const value = crc32c(bytes, 0, bytes.length);
  new DataView(field.buffer).setUint32(0, (wrong ? value ^ 1 : value) >>> 0, true);
  return field;
}

/** A PDU on a TCP stream: header, digest, data padded to 4 bytes, digest. */
export function onTcp(header: Uint8Array, data: Uint8Array, framing: Framing = {}): Uint8Array {
  const padded = Buffer.concat([data, new Uint8Array(-data.length & 3)]);
  const parts = [header];
  if (framing.headerDigest === true) parts.push(digest(header, framing.digestError === 'header'));
  parts.push(padded);
  if (framing.dataDigest === true && data.length > 0) {
    parts.push(digest(padded, framing.digestError === 'data'));
  }
  return Uint8Array.from(Buffer.concat(parts));
}

/** A PDU as one SEND: 28 bytes of iSER header, header, data. */
export function onIser(header: Uint8Array, data: Uint8Array, framing: Framing = {}): Uint8Array {
  const iser = new Uint8Array(28);
  iser[0] = framing.iserType ?? 0x10;
  return Uint8Array.from(
    Buffer.concat([iser, header, data, new Uint8Array(framing.iserPadding ?? 0)]),
  );
}

/** What every key of ours is answered with when a target is polite. */
export function politeKeys(rdma: boolean): readonly string[] {
  const common = [
    'HeaderDigest=None',
    'DataDigest=None',
    'InitialR2T=Yes',
    'ImmediateData=Yes',
    'MaxBurstLength=262144',
    'FirstBurstLength=65536',
    'MaxOutstandingR2T=1',
    'MaxConnections=1',
    'ErrorRecoveryLevel=0',
    'DefaultTime2Wait=2',
    'DefaultTime2Retain=0',
    'DataPDUInOrder=Yes',
    'DataSequenceInOrder=Yes',
  ];
  return rdma
    ? [
        ...common,
        'RDMAExtensions=Yes',
        'InitiatorRecvDataSegmentLength=8192',
        'TargetRecvDataSegmentLength=8192',
      ]
    : [...common, 'MaxRecvDataSegmentLength=16384'];
}

/** Text as a data segment: each pair ended by a zero byte. */
export function keyText(pairs: readonly string[]): Uint8Array {
  return new TextEncoder().encode(pairs.map((pair) => `${pair}\0`).join(''));
}
