import { ProtocolError } from '../../errors.ts';
import { BhsField, bhsLength, opcodeMask } from '../../wire/bhs.ts';
import { readResponseHeader } from './response-header.ts';
import type { ResponseHeader } from './response-header.ts';

/*
 * Reject (RFC 7143 §11.17)
 *
 *   0 |.|.| 0x3f      |1| Reserved    | Reason        | Reserved      |
 *   4 | TotalAHSLength| DataSegmentLength                             |
 *   8 | Reserved (8 bytes)                                            |
 *  16 | 0xffffffff                                                    |
 *  20 | Reserved                                                      |
 *  24 | StatSN                                                        |
 *  28 | ExpCmdSN                                                      |
 *  32 | MaxCmdSN                                                      |
 *  36 | DataSN/R2TSN or Reserved                                      |
 *  40 | Reserved (8 bytes)                                            |
 *  48 | Complete header of the bad PDU, 48 bytes                      |
 */

/** RFC 7143 §11.17.1. */
export const RejectReason = {
  dataDigestError: 0x02,
  snackReject: 0x03,
  protocolError: 0x04,
  commandNotSupported: 0x05,
  immediateCommandReject: 0x06,
  taskInProgress: 0x07,
  invalidDataAck: 0x08,
  invalidPduField: 0x09,
  longOperationReject: 0x0a,
  negotiationReset: 0x0b,
  waitingForLogout: 0x0c,
} as const;

export interface Reject extends ResponseHeader {
  readonly reason: number;
  /** Opcode of the PDU that was refused. */
  readonly rejectedOpcode: number;
  /** Its Initiator Task Tag: a claim of the target, to be looked up, never to be trusted. */
  readonly rejectedTaskTag: number;
}

export function readReject(
  view: DataView,
  bhsOffset: number,
  dataOffset: number,
  dataLength: number,
): Reject {
  if (dataLength < bhsLength) {
    throw new ProtocolError(
      'REJECT_WITHOUT_HEADER',
      `Reject: data segment of ${dataLength} bytes, the rejected header has ${bhsLength}`,
    );
  }
  return {
    ...readResponseHeader(view, bhsOffset),
    reason: view.getUint8(bhsOffset + BhsField.response),
    rejectedOpcode: view.getUint8(dataOffset) & opcodeMask,
    rejectedTaskTag: view.getUint32(dataOffset + BhsField.initiatorTaskTag),
  };
}
