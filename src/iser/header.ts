/**
 * The iSER header that precedes the BHS in every control-type PDU (RFC 7145 §9.2), 28 bytes, big-endian, packed:
 *
 *   0   high nibble: 1 = control-type PDU; 0x08 WSV, 0x04 RSV: the STag below is valid
 *   1   reserved, 3 bytes
 *   4   Write STag    8   Write Base Offset (8 bytes)
 *   16  Read STag     20  Read Base Offset (8 bytes)
 *
 * "Write" and "read" are the SCSI command's: the target RDMA-READs from the Write STag and RDMA-WRITEs to the Read STag.
 */
import { ProtocolError } from '../errors.ts';

export const iserHeaderLength = 28;

/** iSER header and BHS: what a control-type PDU has at least. */
export const controlHeaderLength = iserHeaderLength + 48;

const controlType = 0x10;
const typeMask = 0xf0;
const writeStagValid = 0x08;
const readStagValid = 0x04;

const writeStag = 4;
const readStag = 16;

/** Names of the values in the high nibble of byte 0 (RFC 7145 §9.1). */
const typeNames: Readonly<Record<number, string>> = { 0x20: 'Hello', 0x30: 'HelloReply' };

/** The tagged offsets of one arena: 64-bit addresses without a bigint per PDU. */
export class TaggedOffsets {
  readonly #high: number;
  readonly #low: number;

  /** `base`: the virtual address of arena offset 0. */
  constructor(base: bigint) {
    this.#high = Number(base >> 32n);
    this.#low = Number(base & 0xffffffffn);
  }

  /** Writes base + `offset` as 8 bytes at `at`. */
  write(view: DataView, at: number, offset: number): void {
    const low = this.#low + offset;
    view.setUint32(at, this.#high + (low > 0xffffffff ? 1 : 0));
    view.setUint32(at + 4, low >>> 0);
  }
}

/** A header without STags: every PDU but SCSI commands that move data outside their PDU. */
export function writeControlHeader(bytes: Uint8Array, at: number): void {
  bytes.fill(0, at, at + iserHeaderLength);
  bytes[at] = controlType;
}

/** Adds the STag of write data; `offset` is the arena offset of the first *solicited* byte (RFC 7145 §7.3.1). */
export function setWriteStag(
  view: DataView,
  at: number,
  rkey: number,
  offsets: TaggedOffsets,
  offset: number,
): void {
  view.setUint8(at, view.getUint8(at) | writeStagValid);
  view.setUint32(at + writeStag, rkey);
  offsets.write(view, at + writeStag + 4, offset);
}

/** Adds the STag of the buffer for read data. */
export function setReadStag(
  view: DataView,
  at: number,
  rkey: number,
  offsets: TaggedOffsets,
  offset: number,
): void {
  view.setUint8(at, view.getUint8(at) | readStagValid);
  view.setUint32(at + readStag, rkey);
  offsets.write(view, at + readStag + 4, offset);
}

/** A target's header: it must be a control-type PDU. Hello and HelloReply are not spoken here (RFC 7145 §6.3: iSERHelloRequired=No). */
export function checkControlHeader(bytes: Uint8Array, at: number): void {
  const type = bytes[at] & typeMask;
  if (type === controlType) return;
  const name = typeNames[type] ?? `type 0x${(type >> 4).toString(16)}`;
  throw new ProtocolError('protocol-error', `iSER header of ${name}, expected a control-type PDU`);
}
