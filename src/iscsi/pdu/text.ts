import { BhsField, Opcode, finalBit, immediateBit } from '../../wire/bhs.ts';
import { copyBytes, readResponseHeader } from './response-header.ts';
import type { ResponseHeader } from './response-header.ts';

/*
 * Text Request (RFC 7143 §11.10)              Text Response (RFC 7143 §11.11)
 *
 *   0 |.|I| 0x04 |F|C| Reserved       |       0 |.|.| 0x24 |F|C| Reserved       |
 *   4 | TotalAHSLength, DSL           |       4 | TotalAHSLength, DSL           |
 *   8 | LUN or Reserved (8 bytes)     |       8 | LUN or Reserved (8 bytes)     |
 *  16 | Initiator Task Tag            |      16 | Initiator Task Tag            |
 *  20 | TTT or 0xffffffff             |      20 | TTT or 0xffffffff             |
 *  24 | CmdSN                         |      24 | StatSN                        |
 *  28 | ExpStatSN                     |      28 | ExpCmdSN                      |
 *  32 | Reserved (16 bytes)           |      32 | MaxCmdSN, Reserved (12 bytes) |
 *  48 | Text                          |      48 | Text                          |
 */

const continueBit = 0x40;

export interface TextResponse extends ResponseHeader {
  readonly final: boolean;
  readonly continued: boolean;
  /** To be repeated, with the LUN, in the next request of the same exchange; reservedTag when the exchange is over. */
  readonly targetTransferTag: number;
  readonly lunHigh: number;
  readonly lunLow: number;
  readonly text: Uint8Array;
}

/**
 * Writes the BHS of an immediate, complete (F=1, C=0) Text Request, which does not consume `cmdSn`. An empty one with the
 * target's TTT asks for the rest of a continued answer (RFC 7143 §11.10.2).
 */
export function writeTextRequest(
  view: DataView,
  bhsOffset: number,
  lunHigh: number,
  lunLow: number,
  initiatorTaskTag: number,
  targetTransferTag: number,
  cmdSn: number,
  expStatSn: number,
  final = true,
): void {
  view.setUint32(
    bhsOffset,
    ((Opcode.textRequest | immediateBit) << 24) | ((final ? finalBit : 0) << 16),
  );
  view.setUint32(bhsOffset + BhsField.totalAhsLength, 0);
  view.setUint32(bhsOffset + BhsField.lun, lunHigh);
  view.setUint32(bhsOffset + BhsField.lun + 4, lunLow);
  view.setUint32(bhsOffset + BhsField.initiatorTaskTag, initiatorTaskTag);
  view.setUint32(bhsOffset + BhsField.targetTransferTag, targetTransferTag);
  view.setUint32(bhsOffset + BhsField.cmdSn, cmdSn);
  view.setUint32(bhsOffset + BhsField.expStatSn, expStatSn);
  for (let at = 32; at < 48; at += 4) view.setUint32(bhsOffset + at, 0);
}

/** Reads a Text Response; its text is a copy. */
export function readTextResponse(
  view: DataView,
  bhsOffset: number,
  dataOffset: number,
  dataLength: number,
): TextResponse {
  const flags = view.getUint8(bhsOffset + BhsField.flags);
  return {
    ...readResponseHeader(view, bhsOffset),
    final: (flags & finalBit) !== 0,
    continued: (flags & continueBit) !== 0,
    targetTransferTag: view.getUint32(bhsOffset + BhsField.targetTransferTag),
    lunHigh: view.getUint32(bhsOffset + BhsField.lun),
    lunLow: view.getUint32(bhsOffset + BhsField.lun + 4),
    text: copyBytes(view, dataOffset, dataLength),
  };
}
