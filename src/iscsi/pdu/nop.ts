import { BhsField, Opcode, finalBit, immediateBit, reservedTag } from '../../wire/bhs.ts';
import { readResponseHeader } from './response-header.ts';
import type { ResponseHeader } from './response-header.ts';

/*
 * NOP-Out (RFC 7143 §11.18)                  NOP-In (RFC 7143 §11.19)
 *
 *   0 |.|I| 0x00 |1| Reserved          |       0 |.|.| 0x20 |1| Reserved          |
 *   4 | TotalAHSLength, DSL            |       4 | TotalAHSLength, DSL            |
 *   8 | LUN or Reserved (8 bytes)      |       8 | LUN or Reserved (8 bytes)      |
 *  16 | ITT or 0xffffffff              |      16 | ITT or 0xffffffff              |
 *  20 | TTT or 0xffffffff              |      20 | TTT or 0xffffffff              |
 *  24 | CmdSN                          |      24 | StatSN                         |
 *  28 | ExpStatSN                      |      28 | ExpCmdSN                       |
 *  32 | Reserved (16 bytes)            |      32 | MaxCmdSN, Reserved (12 bytes)  |
 *  48 | Ping data (optional)           |      48 | Return ping data               |
 */

export interface NopIn extends ResponseHeader {
  /** reservedTag unless the target wants a NOP-Out that repeats it together with the LUN. */
  readonly targetTransferTag: number;
  readonly lunHigh: number;
  readonly lunLow: number;
}

/**
 * Writes an immediate NOP-Out, which does not consume `cmdSn`. Our own ping bears a tag of ours, TTT reservedTag and LUN 0; an
 * answer bears ITT reservedTag and repeats TTT and LUN of the NOP-In (RFC 7143 §11.18.2).
 * @param lunHigh @param lunLow the two halves of the LUN field
 */
export function writeNopOut(
  view: DataView,
  bhsOffset: number,
  lunHigh: number,
  lunLow: number,
  initiatorTaskTag: number,
  targetTransferTag: number,
  cmdSn: number,
  expStatSn: number,
): void {
  view.setUint32(bhsOffset, ((Opcode.nopOut | immediateBit) << 24) | (finalBit << 16));
  view.setUint32(bhsOffset + BhsField.totalAhsLength, 0);
  view.setUint32(bhsOffset + BhsField.lun, lunHigh);
  view.setUint32(bhsOffset + BhsField.lun + 4, lunLow);
  view.setUint32(bhsOffset + BhsField.initiatorTaskTag, initiatorTaskTag);
  view.setUint32(bhsOffset + BhsField.targetTransferTag, targetTransferTag);
  view.setUint32(bhsOffset + BhsField.cmdSn, cmdSn);
  view.setUint32(bhsOffset + BhsField.expStatSn, expStatSn);
  for (let at = 32; at < 48; at += 4) view.setUint32(bhsOffset + at, 0);
}

/** A NOP-In with ITT reservedTag was not asked for and does not advance StatSN (RFC 7143 §11.19.2). */
export function readNopIn(view: DataView, bhsOffset: number): NopIn {
  const header = readResponseHeader(view, bhsOffset);
  // An answer to our ping asks for nothing, whatever a target leaves in its TTT.
  const isAnswer = header.initiatorTaskTag !== reservedTag;
  return {
    ...header,
    targetTransferTag: isAnswer
      ? reservedTag
      : view.getUint32(bhsOffset + BhsField.targetTransferTag),
    lunHigh: view.getUint32(bhsOffset + BhsField.lun),
    lunLow: view.getUint32(bhsOffset + BhsField.lun + 4),
  };
}
