import type { BlockDevice, BlockGeometry } from '../block/device.ts';
import { maximumPayloadLength, TransmissionFlag } from './constants.ts';

/** Something a client can ask for by name. */
export interface NbdExport {
  /** At most 4096 bytes of UTF-8, no NUL. */
  readonly name: string;
  /** For people; may be empty. */
  readonly description: string;
  readonly device: BlockDevice;
}

/** What a server has to offer. Asked during option haggling only. */
export interface ExportDirectory {
  find(name: string): NbdExport | undefined;
  list(): readonly NbdExport[];
}

/** The export of that name; the empty name means the only export when there is just one (proto.md: default export). */
export function findExport(directory: ExportDirectory, name: string): NbdExport | undefined {
  const found = directory.find(name);
  if (found !== undefined || name !== '') return found;
  const all = directory.list();
  return all.length === 1 ? all[0] : undefined;
}

/**
 * Transmission flags for a device (proto.md: Transmission flags); also what the kernel client is given at attach.
 * CAN_MULTI_CONN is honest because a flush covers the whole logical unit, whichever connection carried the writes.
 */
export function transmissionFlags(geometry: BlockGeometry, structuredReplies: boolean): number {
  let flags: number =
    TransmissionFlag.hasFlags |
    TransmissionFlag.sendFlush |
    TransmissionFlag.sendFua |
    TransmissionFlag.canMultiConn |
    TransmissionFlag.sendCache;
  if (geometry.readOnly) {
    flags |= TransmissionFlag.readOnly;
  } else {
    flags |= TransmissionFlag.sendWriteZeroes | TransmissionFlag.sendFastZero;
    if (geometry.canTrim) flags |= TransmissionFlag.sendTrim;
  }
  if (geometry.rotational) flags |= TransmissionFlag.rotational;
  // proto.md: SEND_DF must not be set without structured replies.
  if (structuredReplies) flags |= TransmissionFlag.sendDf;
  return flags;
}

export interface BlockSizes {
  readonly minimum: number;
  readonly preferred: number;
  readonly maximum: number;
}

/** NBD_INFO_BLOCK_SIZE, in bytes (proto.md: Size constraints): minimum <= preferred <= maximum payload. */
export function blockSizes(geometry: BlockGeometry, payloadLength: number): BlockSizes {
  const maximum = Math.min(payloadLength, maximumPayloadLength);
  const minimum = geometry.logicalBlockLength;
  const preferred = Math.min(Math.max(geometry.preferredLength, minimum, 512), maximum);
  return { minimum, preferred, maximum };
}
