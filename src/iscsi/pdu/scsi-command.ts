import { BhsField, Opcode, finalBit } from '../../wire/bhs.ts';

/*
 * SCSI Command (RFC 7143 §11.3)
 *
 *      0               1               2               3
 *   0 |.|I| 0x01      |F|R|W|. .|ATTR | Reserved                      |
 *   4 | TotalAHSLength| DataSegmentLength                             |
 *   8 | Logical Unit Number                                           |
 *  16 | Initiator Task Tag                                            |
 *  20 | Expected Data Transfer Length                                 |
 *  24 | CmdSN                                                         |
 *  28 | ExpStatSN                                                     |
 *  32 | SCSI Command Descriptor Block, 16 bytes                       |
 */

/** Byte 1 without ATTR. */
export const ScsiCommandFlag = { final: finalBit, read: 0x40, write: 0x20 } as const;

/** ATTR (RFC 7143 §11.3.1). */
export const TaskAttribute = {
  untagged: 0,
  simple: 1,
  ordered: 2,
  headOfQueue: 3,
  aca: 4,
} as const;

/**
 * Writes all 48 bytes; lengths of AHS and data segment are 0 until the transport sets them.
 * @param flags ScsiCommandFlag | TaskAttribute; final is set unless unsolicited Data-Out follows
 * @param lun result of encodeLun
 * @param cdb 16 bytes at cdbOffset, zero filled
 */
export function writeScsiCommand(
  view: DataView,
  bhsOffset: number,
  flags: number,
  lun: number,
  initiatorTaskTag: number,
  expectedDataTransferLength: number,
  cmdSn: number,
  expStatSn: number,
  cdb: DataView,
  cdbOffset: number,
): void {
  view.setUint32(bhsOffset, (Opcode.scsiCommand << 24) | (flags << 16));
  view.setUint32(bhsOffset + BhsField.totalAhsLength, 0);
  view.setUint32(bhsOffset + BhsField.lun, lun);
  view.setUint32(bhsOffset + BhsField.lun + 4, 0);
  view.setUint32(bhsOffset + BhsField.initiatorTaskTag, initiatorTaskTag);
  view.setUint32(bhsOffset + BhsField.expectedDataTransferLength, expectedDataTransferLength);
  view.setUint32(bhsOffset + BhsField.cmdSn, cmdSn);
  view.setUint32(bhsOffset + BhsField.expStatSn, expStatSn);
  view.setUint32(bhsOffset + BhsField.cdb, cdb.getUint32(cdbOffset));
  view.setUint32(bhsOffset + BhsField.cdb + 4, cdb.getUint32(cdbOffset + 4));
  view.setUint32(bhsOffset + BhsField.cdb + 8, cdb.getUint32(cdbOffset + 8));
  view.setUint32(bhsOffset + BhsField.cdb + 12, cdb.getUint32(cdbOffset + 12));
}
