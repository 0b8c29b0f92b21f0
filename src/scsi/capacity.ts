/** READ CAPACITY parameter data (SBC-4 §5.20.2, §5.21.2). */
import { ProtocolError } from '../errors.ts';
import { parameterView } from './parameter-data.ts';

export const readCapacity10Length = 8;
export const readCapacity16Length = 32;

export interface Capacity {
  /** Number of logical blocks: the RETURNED LOGICAL BLOCK ADDRESS is the last one, this is one more. */
  readonly blocks: number;
  /** Bytes. */
  readonly logicalBlockLength: number;
  /** Bytes. */
  readonly physicalBlockLength: number;
  /** Logical block provisioning management enabled: thin or resource provisioned. */
  readonly lbpme: boolean;
  /** Unmapped blocks read as zeroes. */
  readonly lbprz: boolean;
}

/** undefined: the logical unit is too large for this command, ask with READ CAPACITY(16). */
export function parseReadCapacity10(data: Uint8Array): Capacity | undefined {
  const view = parameterView(data, readCapacity10Length, 'READ CAPACITY(10) data');
  const lastLba = view.getUint32(0);
  if (lastLba === 0xffffffff) return undefined;
  const logicalBlockLength = checkedBlockLength(view.getUint32(4));
  return {
    blocks: checkedBlocks(lastLba + 1, logicalBlockLength),
    logicalBlockLength,
    physicalBlockLength: logicalBlockLength,
    lbpme: false,
    lbprz: false,
  };
}

/** The first 12 bytes must be there; SBC-2 units may leave out the rest. */
export function parseReadCapacity16(data: Uint8Array): Capacity {
  const view = parameterView(data, 12, 'READ CAPACITY(16) data');
  const logicalBlockLength = checkedBlockLength(view.getUint32(8));
  const exponent = data.length > 13 ? data[13] & 0x0f : 0;
  const provisioning = data.length > 14 ? data[14] : 0;
  return {
    blocks: checkedBlocks(view.getUint32(0) * 2 ** 32 + view.getUint32(4) + 1, logicalBlockLength),
    logicalBlockLength,
    physicalBlockLength: logicalBlockLength * 2 ** exponent,
    lbpme: (provisioning & 0x80) !== 0,
    lbprz: (provisioning & 0x40) !== 0,
  };
}

function checkedBlockLength(length: number): number {
  const powerOfTwo = length > 0 && (length & (length - 1)) === 0;
  if (!powerOfTwo || length < 512 || length > 65536) {
    throw new ProtocolError(
      'logical-block-length',
      `READ CAPACITY: a logical block length of ${length}; a power of two from 512 to 65536 can be served`,
    );
  }
  return length;
}

function checkedBlocks(blocks: number, logicalBlockLength: number): number {
  if (blocks * logicalBlockLength > Number.MAX_SAFE_INTEGER) {
    throw new ProtocolError(
      'capacity-too-large',
      `READ CAPACITY: ${blocks} blocks of ${logicalBlockLength} bytes; sizes below 2^53 bytes can be served`,
    );
  }
  return blocks;
}
