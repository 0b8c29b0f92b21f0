import { ProtocolError, assert } from '../../errors.ts';
import { BhsField, Opcode } from '../../wire/bhs.ts';
import { senseCapacity } from '../task-table.ts';

/*
 * SCSI Response (RFC 7143 §11.4)
 *
 *      0               1               2               3
 *   0 |.|.| 0x21      |1|. .|o|u|O|U|.| Response      | Status        |
 *   4 | TotalAHSLength| DataSegmentLength                             |
 *   8 | Reserved (8 bytes)                                            |
 *  16 | Initiator Task Tag                                            |
 *  20 | SNACK Tag or Reserved                                         |
 *  24 | StatSN                                                        |
 *  28 | ExpCmdSN                                                      |
 *  32 | MaxCmdSN                                                      |
 *  36 | ExpDataSN or Reserved                                         |
 *  40 | Bidirectional Read Residual Count or Reserved                 |
 *  44 | Residual Count or Reserved                                    |
 *  48 | SenseLength                   | Sense Data ...                |
 *
 * SCSI Data-In with the S bit (RFC 7143 §11.7) ends a command too: no Response, no sense, and
 *
 *   0 |.|.| 0x25      |F|A|. . .|O|U|S| Reserved      | Status        |
 */

/** Response code (RFC 7143 §11.4.3); 0x80 to 0xff are vendor specific, all but 0 mean that there is no SCSI status. */
export const ScsiResponseCode = { commandCompletedAtTarget: 0x00, targetFailure: 0x01 } as const;

const overflowBit = 0x04;
const underflowBit = 0x02;
const dataInStatusBit = 0x01;

/** One of these is kept per session and read into again and again: the end of an I/O must not allocate. */
export class ScsiResponse {
  initiatorTaskTag = 0;
  statSn = 0;
  expCmdSn = 0;
  maxCmdSn = 0;
  /** ScsiResponseCode; status and sense are void unless it is 0. */
  response = 0;
  status = 0;
  /** The target had residualCount bytes more to transfer than it was allowed to. */
  overflow = false;
  /** residualCount bytes of the expected transfer did not happen. */
  underflow = false;
  /** 0 when neither overflow nor underflow. */
  residualCount = 0;
  /** Arena range of the sense data; never reaches beyond the data segment nor above senseCapacity. */
  senseOffset = 0;
  senseLength = 0;
}

/**
 * Reads a SCSI Response into `into`.
 * @param dataOffset arena offset of the data segment @param dataLength its length without padding
 */
export function readScsiResponse(
  view: DataView,
  bhsOffset: number,
  dataOffset: number,
  dataLength: number,
  into: ScsiResponse,
): void {
  readStatus(view, bhsOffset, into);
  into.response = view.getUint8(bhsOffset + BhsField.response);
  if (dataLength <= 2) return;
  // Targets declare more sense than they send (truncated autosense): the data segment is what exists.
  const declared = view.getUint16(dataOffset);
  into.senseOffset = dataOffset + 2;
  into.senseLength = Math.min(declared, dataLength - 2, senseCapacity);
}

/** Reads the status that a Data-In with the S bit bears into `into`. */
export function readDataInStatus(view: DataView, bhsOffset: number, into: ScsiResponse): void {
  assert(
    (view.getUint8(bhsOffset + BhsField.flags) & dataInStatusBit) !== 0,
    'Data-In without status came to the session',
  );
  readStatus(view, bhsOffset, into);
  into.response = ScsiResponseCode.commandCompletedAtTarget;
}

function readStatus(view: DataView, bhsOffset: number, into: ScsiResponse): void {
  const flags = view.getUint8(bhsOffset + BhsField.flags);
  const overflow = (flags & overflowBit) !== 0;
  const underflow = (flags & underflowBit) !== 0;
  if (overflow && underflow) {
    const opcode = view.getUint8(bhsOffset) & 0x3f;
    const name = opcode === Opcode.dataIn ? 'Data-In' : 'SCSI Response';
    // RFC 7143 §11.4.1: the bits are mutually exclusive.
    throw new ProtocolError('RESIDUAL_FLAGS', `${name}: both residual flags O and U are set`);
  }
  into.initiatorTaskTag = view.getUint32(bhsOffset + BhsField.initiatorTaskTag);
  into.statSn = view.getUint32(bhsOffset + BhsField.statSn);
  into.expCmdSn = view.getUint32(bhsOffset + BhsField.expCmdSn);
  into.maxCmdSn = view.getUint32(bhsOffset + BhsField.maxCmdSn);
  into.status = view.getUint8(bhsOffset + BhsField.status);
  into.overflow = overflow;
  into.underflow = underflow;
  into.residualCount =
    overflow || underflow ? view.getUint32(bhsOffset + BhsField.residualCount) : 0;
  into.senseOffset = 0;
  into.senseLength = 0;
}
