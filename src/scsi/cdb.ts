/**
 * Command descriptor blocks of the data path (SBC-4 §5), written into a zero-filled 16-byte slot of TaskTable.cdb.
 * `at` is the slot's byte offset in `view`; LBAs are numbers below 2^53, counts are in logical blocks.
 */
export const OperationCode = {
  testUnitReady: 0x00,
  inquiry: 0x12,
  modeSense6: 0x1a,
  readCapacity10: 0x25,
  read10: 0x28,
  write10: 0x2a,
  synchronizeCache10: 0x35,
  unmap: 0x42,
  modeSense10: 0x5a,
  read16: 0x88,
  write16: 0x8a,
  synchronizeCache16: 0x91,
  writeSame16: 0x93,
  serviceActionIn16: 0x9e,
  reportLuns: 0xa0,
  maintenanceIn: 0xa3,
} as const;

export const ServiceAction = {
  /** SERVICE ACTION IN(16). */
  readCapacity16: 0x10,
  getLbaStatus: 0x12,
  /** MAINTENANCE IN. */
  reportTargetPortGroups: 0x0a,
  reportSupportedOperationCodes: 0x0c,
} as const;

/** Byte 1 of READ and WRITE: bypass volatile caches (SBC-4 §4.15). */
export const fuaBit = 0x08;

/** Byte 1 of WRITE SAME(16) (SBC-4 §5.50). */
export const WriteSameFlag = {
  /** NO DATA-OUT BUFFER: zeroes, without any data sent. */
  ndob: 0x01,
  unmap: 0x08,
  anchor: 0x10,
} as const;

/** READ(10) and WRITE(10) reach this far, and this many blocks at once. */
export const maxLba10 = 0xffffffff;
export const maxBlocks10 = 0xffff;
export const maxBlocks16 = 0xffffffff;

function putLba(view: DataView, at: number, lba: number): void {
  view.setUint32(at, Math.floor(lba / 2 ** 32));
  view.setUint32(at + 4, lba >>> 0);
}

function put16(
  view: DataView,
  at: number,
  operationCode: number,
  flags: number,
  lba: number,
  blocks: number,
): void {
  view.setUint8(at, operationCode);
  view.setUint8(at + 1, flags);
  putLba(view, at + 2, lba);
  view.setUint32(at + 10, blocks);
}

function put10(
  view: DataView,
  at: number,
  operationCode: number,
  flags: number,
  lba: number,
  blocks: number,
): void {
  view.setUint8(at, operationCode);
  view.setUint8(at + 1, flags);
  view.setUint32(at + 2, lba);
  view.setUint16(at + 7, blocks);
}

/** READ(16), SBC-4 §5.18. */
export function putRead16(view: DataView, at: number, lba: number, blocks: number): void {
  put16(view, at, OperationCode.read16, 0, lba, blocks);
}

/** READ(10), SBC-4 §5.16: lba <= maxLba10, blocks <= maxBlocks10. */
export function putRead10(view: DataView, at: number, lba: number, blocks: number): void {
  put10(view, at, OperationCode.read10, 0, lba, blocks);
}

/** WRITE(16), SBC-4 §5.41. */
export function putWrite16(
  view: DataView,
  at: number,
  lba: number,
  blocks: number,
  fua: boolean,
): void {
  put16(view, at, OperationCode.write16, fua ? fuaBit : 0, lba, blocks);
}

/** WRITE(10), SBC-4 §5.39: lba <= maxLba10, blocks <= maxBlocks10. */
export function putWrite10(
  view: DataView,
  at: number,
  lba: number,
  blocks: number,
  fua: boolean,
): void {
  put10(view, at, OperationCode.write10, fua ? fuaBit : 0, lba, blocks);
}

/** SYNCHRONIZE CACHE(16), SBC-4 §5.34. LBA 0 and 0 blocks: the whole logical unit. IMMED stays 0: the answer means done. */
export function putSynchronizeCache16(
  view: DataView,
  at: number,
  lba: number,
  blocks: number,
): void {
  put16(view, at, OperationCode.synchronizeCache16, 0, lba, blocks);
}

/** SYNCHRONIZE CACHE(10), SBC-4 §5.33. */
export function putSynchronizeCache10(
  view: DataView,
  at: number,
  lba: number,
  blocks: number,
): void {
  put10(view, at, OperationCode.synchronizeCache10, 0, lba, blocks);
}

/** UNMAP, SBC-4 §5.35; the ranges are in the parameter list (putUnmapHeader, putUnmapDescriptor). */
export function putUnmap(view: DataView, at: number, parameterListLength: number): void {
  view.setUint8(at, OperationCode.unmap);
  view.setUint16(at + 7, parameterListLength);
}

export const unmapHeaderLength = 8;
export const unmapDescriptorLength = 16;

/** UNMAP parameter list header for `descriptors` block descriptors. */
export function putUnmapHeader(view: DataView, at: number, descriptors: number): void {
  const descriptorBytes = descriptors * unmapDescriptorLength;
  // UNMAP DATA LENGTH counts from byte 2 of the list.
  view.setUint16(at, descriptorBytes + unmapHeaderLength - 2);
  view.setUint16(at + 2, descriptorBytes);
  view.setUint32(at + 4, 0);
}

/** The index-th block descriptor of the list that starts at `at`. */
export function putUnmapDescriptor(
  view: DataView,
  at: number,
  index: number,
  lba: number,
  blocks: number,
): void {
  const start = at + unmapHeaderLength + index * unmapDescriptorLength;
  putLba(view, start, lba);
  view.setUint32(start + 8, blocks);
  view.setUint32(start + 12, 0);
}

/** WRITE SAME(16), SBC-4 §5.50; `flags` of WriteSameFlag. Data-out: one logical block, none with NDOB. */
export function putWriteSame16(
  view: DataView,
  at: number,
  lba: number,
  blocks: number,
  flags: number,
): void {
  put16(view, at, OperationCode.writeSame16, flags, lba, blocks);
}

/** GET LBA STATUS(16), SBC-4 §5.7. */
export function putGetLbaStatus(
  view: DataView,
  at: number,
  lba: number,
  allocationLength: number,
): void {
  put16(
    view,
    at,
    OperationCode.serviceActionIn16,
    ServiceAction.getLbaStatus,
    lba,
    allocationLength,
  );
}
