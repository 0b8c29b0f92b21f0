/**
 * Basic Header Segment: byte offsets and constants (RFC 7143 §11). Names are the RFC's. The codecs of single PDUs are in
 * src/iscsi/pdu/; what a datamover must read of every PDU is here.
 */
export const bhsLength = 48;

/** "No tag": ITT or TTT (RFC 7143 §11.2.1.8). */
export const reservedTag = 0xffffffff;

export const Opcode = {
  nopOut: 0x00,
  scsiCommand: 0x01,
  taskManagementRequest: 0x02,
  loginRequest: 0x03,
  textRequest: 0x04,
  dataOut: 0x05,
  logoutRequest: 0x06,
  snack: 0x10,
  nopIn: 0x20,
  scsiResponse: 0x21,
  taskManagementResponse: 0x22,
  loginResponse: 0x23,
  textResponse: 0x24,
  dataIn: 0x25,
  logoutResponse: 0x26,
  r2t: 0x31,
  asyncMessage: 0x32,
  reject: 0x3f,
} as const;

export const opcodeMask = 0x3f;
/** Byte 0: immediate delivery. */
export const immediateBit = 0x40;
/** Byte 1: final. */
export const finalBit = 0x80;

/** Offsets that several PDUs share. */
export const BhsField = {
  opcode: 0,
  flags: 1,
  totalAhsLength: 4,
  /** 24 bits. */
  dataSegmentLength: 5,
  lun: 8,
  initiatorTaskTag: 16,
  targetTransferTag: 20,
  /** SCSI Command. */
  expectedDataTransferLength: 20,
  /** Requests. */
  cmdSn: 24,
  expStatSn: 28,
  /** Responses. */
  statSn: 24,
  expCmdSn: 28,
  maxCmdSn: 32,
  /** SCSI Command. */
  cdb: 32,
  /** SCSI Response and Data-In. */
  response: 2,
  status: 3,
  residualCount: 44,
  /** Data-In, Data-Out, R2T. */
  dataSn: 36,
  bufferOffset: 40,
  desiredDataTransferLength: 44,
} as const;

export function opcodeAt(bytes: Uint8Array, bhsOffset: number): number {
  return bytes[bhsOffset] & opcodeMask;
}

/** DataSegmentLength, bytes 5 to 7. */
export function dataSegmentLengthAt(view: DataView, bhsOffset: number): number {
  return view.getUint32(bhsOffset + BhsField.totalAhsLength) & 0xffffff;
}

/** Writes DataSegmentLength and a TotalAHSLength of 0. */
export function setDataSegmentLength(view: DataView, bhsOffset: number, length: number): void {
  view.setUint32(bhsOffset + BhsField.totalAhsLength, length & 0xffffff);
}

/** A data segment is padded to 4 bytes on the wire (RFC 7143 §11.7.1). */
export function paddingOf(length: number): number {
  return -length & 3;
}
