import type { BlockGeometry } from '../../src/block/device.ts';

/** Of an ordinary disk that does not tell what is allocated. */
export function diskGeometry(sizeBytes: number, more: Partial<BlockGeometry> = {}): BlockGeometry {
  return {
    sizeBytes,
    logicalBlockLength: 512,
    preferredLength: 4096,
    readOnly: false,
    rotational: false,
    canTrim: true,
    fastZeroes: true,
    knowsAllocation: false,
    ...more,
  };
}
