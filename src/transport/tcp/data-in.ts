/**
 * SCSI Data-In (RFC 7143 §11.7):
 *
 *   byte 1  F, A, then O, U, S: S = status present     bytes 36-39  DataSN
 *   bytes 20-23  Target Transfer Tag                   bytes 40-43  Buffer Offset
 *   bytes 44-47  Residual Count (with S)
 *
 * We agree on DataPDUInOrder and DataSequenceInOrder = Yes (§13.18, §13.19): data comes without gap and without overlap, so that
 * "bytes placed" is one number and no byte of an answered read can be left over from somebody else's request.
 */
import { BhsField, finalBit } from '../../wire/bhs.ts';
import { expectedReadLength, refuse } from '../inbound.ts';
import type { PduTable } from '../pdu-table.ts';

/** Byte 1: the PDU carries the command's status. */
const statusBit = 0x01;

export class DataInPlacement {
  readonly #pdus: PduTable;
  readonly #expectedDataSn: Uint32Array;

  constructor(pdus: PduTable) {
    this.#pdus = pdus;
    this.#expectedDataSn = new Uint32Array(pdus.capacity);
  }

  /** A command has been queued in this slot. */
  start(pdu: number): void {
    this.#expectedDataSn[pdu] = 0;
  }

  /**
   * Checks a Data-In of `length` bytes for this slot and returns the arena offset that its data belongs at.
   */
  accept(pdu: number, view: DataView, bhsOffset: number, length: number): number {
    const readLength = this.#pdus.readLength[pdu];
    if (readLength === 0) throw refuse('Data-In for a command that reads nothing');
    const dataSn = view.getUint32(bhsOffset + BhsField.dataSn);
    if (dataSn !== this.#expectedDataSn[pdu])
      throw refuse(`DataSN ${dataSn} of a Data-In, expected ${this.#expectedDataSn[pdu]}`);
    const bufferOffset = view.getUint32(bhsOffset + BhsField.bufferOffset);
    if (bufferOffset + length > readLength)
      throw refuse(
        `BufferOffset ${bufferOffset} + DataSegmentLength ${length} of a Data-In exceed the expected transfer of ${readLength} bytes`,
      );
    const placed = this.#pdus.readPlaced[pdu];
    if (bufferOffset !== placed)
      throw refuse(`BufferOffset ${bufferOffset} of a Data-In, expected ${placed}`);
    const flags = view.getUint8(bhsOffset + BhsField.flags);
    if ((flags & statusBit) !== 0 && (flags & finalBit) === 0)
      throw refuse('Data-In with the S bit but without the F bit');
    this.#expectedDataSn[pdu] = (dataSn + 1) >>> 0;
    return this.#pdus.readOffset[pdu] + bufferOffset;
  }

  /** `length` more bytes are in place. */
  placed(pdu: number, length: number): void {
    this.#pdus.readPlaced[pdu] += length;
  }

  /** The command's final status is at `bhsOffset`: what the residual count takes back is not valid data. */
  finish(pdu: number, bytes: Uint8Array, view: DataView, bhsOffset: number): void {
    const readLength = this.#pdus.readLength[pdu];
    if (readLength === 0) return;
    const expected = expectedReadLength(bytes, view, bhsOffset, readLength);
    if (expected < this.#pdus.readPlaced[pdu]) this.#pdus.readPlaced[pdu] = expected;
  }
}

export function hasStatus(bytes: Uint8Array, bhsOffset: number): boolean {
  return (bytes[bhsOffset + BhsField.flags] & statusBit) !== 0;
}
