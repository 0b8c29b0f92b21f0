/** What the kernel is told about a device, made from what a volume is. */
import { ConfigurationError } from '../../src/errors.ts';
import type { BlockGeometry } from '../../src/block/device.ts';

/** Transmission flags (proto.md: Transmission flags) that the kernel's client acts on. */
const TransmissionFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  canMultiConn: 1 << 8,
} as const;

/** The index in "/dev/nbdN"; undefined for "auto". */
export function parseDevice(device: string): number | undefined {
  if (device === 'auto') return undefined;
  const digits = /^\/dev\/nbd(0|[1-9]\d{0,6})$/.exec(device)?.[1];
  if (digits === undefined) {
    throw new ConfigurationError(
      'device-name',
      `device: "${device}" is neither "auto" nor "/dev/nbdN"`,
    );
  }
  return Number(digits);
}

/** A size in bytes, rounded down to what the kernel can show. */
export function wholeBlocks(sizeBytes: number, blockSize: number): number {
  return Math.floor(sizeBytes / blockSize) * blockSize;
}

/** What the kernel's client is told about the logical unit. */
export function serverFlags(geometry: BlockGeometry, sockets: number): number {
  let flags = TransmissionFlag.hasFlags | TransmissionFlag.sendFlush | TransmissionFlag.sendFua;
  if (geometry.readOnly) flags |= TransmissionFlag.readOnly;
  else flags |= TransmissionFlag.sendWriteZeroes;
  if (geometry.canTrim && !geometry.readOnly) flags |= TransmissionFlag.sendTrim;
  if (geometry.rotational) flags |= TransmissionFlag.rotational;
  if (sockets > 1) flags |= TransmissionFlag.canMultiConn;
  return flags;
}
