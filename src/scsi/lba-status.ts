/** GET LBA STATUS parameter data (SBC-4 §5.7.2), read in place from the arena without allocation. */
export const lbaStatusHeaderLength = 8;
export const lbaStatusDescriptorLength = 16;

/** PROVISIONING STATUS (SBC-4 §5.7.2.2). */
export const ProvisioningStatus = {
  mappedOrUnknown: 0,
  deallocated: 1,
  anchored: 2,
  mapped: 3,
  unknown: 4,
} as const;

/** Whole descriptors in `length` valid bytes at `at`; 0 when the data is too short to hold any. */
export function lbaStatusCount(view: DataView, at: number, length: number): number {
  if (length < lbaStatusHeaderLength + lbaStatusDescriptorLength) return 0;
  // PARAMETER DATA LENGTH counts from byte 4.
  const valid = Math.min(length, view.getUint32(at) + 4);
  return Math.max(0, Math.floor((valid - lbaStatusHeaderLength) / lbaStatusDescriptorLength));
}

function descriptorAt(at: number, index: number): number {
  return at + lbaStatusHeaderLength + index * lbaStatusDescriptorLength;
}

/** First LBA of a descriptor; exact below 2^53. */
export function lbaStatusLba(view: DataView, at: number, index: number): number {
  const start = descriptorAt(at, index);
  return view.getUint32(start) * 2 ** 32 + view.getUint32(start + 4);
}

/** Number of logical blocks of a descriptor. */
export function lbaStatusBlocks(view: DataView, at: number, index: number): number {
  return view.getUint32(descriptorAt(at, index) + 8);
}

/** ProvisioningStatus of a descriptor. */
export function lbaStatusProvisioning(view: DataView, at: number, index: number): number {
  return view.getUint8(descriptorAt(at, index) + 12) & 0x0f;
}
