import { BhsField } from '../../wire/bhs.ts';

/** What the answers of a target have in common (RFC 7143 §11.4.7 to §11.4.9). Serial numbers are unsigned 32-bit. */
export interface ResponseHeader {
  readonly initiatorTaskTag: number;
  readonly statSn: number;
  readonly expCmdSn: number;
  readonly maxCmdSn: number;
}

/** Allocates: not for the PDUs that end an I/O. */
export function readResponseHeader(view: DataView, bhsOffset: number): ResponseHeader {
  return {
    initiatorTaskTag: view.getUint32(bhsOffset + BhsField.initiatorTaskTag),
    statSn: view.getUint32(bhsOffset + BhsField.statSn),
    expCmdSn: view.getUint32(bhsOffset + BhsField.expCmdSn),
    maxCmdSn: view.getUint32(bhsOffset + BhsField.maxCmdSn),
  };
}

/** A copy of `length` bytes at `offset` of the arena under `view`: the PDU's own memory is reused after its callback. */
export function copyBytes(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length).slice();
}
