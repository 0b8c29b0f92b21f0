/** How long one SCSI command may be, and where a longer request is cut. All values in bytes, multiples of the block length. */
import { maxBlocks10, maxBlocks16 } from '../scsi/cdb.ts';
import type { LogicalUnitProfile } from './profile.ts';

export interface SplitLimits {
  readonly transferMaximum: number;
  readonly transferGranularity: number;
  readonly unmapMaximum: number;
  readonly unmapGranularity: number;
  /** Where granules begin: offset of the first one. */
  readonly unmapAlignment: number;
  readonly writeSameMaximum: number;
  /** Of data from the zero buffer. */
  readonly zeroWriteMaximum: number;
}

/** One UNMAP or WRITE SAME must end within the command timeout, whatever limit the logical unit reports. */
const longestUnmap = 1 << 30;
const longestWriteSame = 1 << 27;

/**
 * `maxTransferLength` is the transport's, `zeroLength` the zero buffer's, in bytes. Limits of the logical unit: VPD page B0h
 * (SBC-4 §6.6.4), in which 0 means that there is none.
 */
export function splitLimits(
  profile: LogicalUnitProfile,
  maxTransferLength: number,
  zeroLength: number,
): SplitLimits {
  const block = profile.logicalBlockLength;
  const { limits } = profile;
  const unitMaximum = (profile.commands16 ? maxBlocks16 : maxBlocks10) * block;
  const transferMaximum = Math.min(
    unitMaximum,
    orNoLimit(limits.maximumTransferLength * block),
    wholeBlocks(maxTransferLength, block),
  );
  return {
    transferMaximum,
    transferGranularity: Math.max(1, limits.optimalTransferGranularity) * block,
    unmapMaximum: Math.min(orNoLimit(limits.maximumUnmapLbaCount * block), longestUnmap),
    unmapGranularity: Math.max(1, limits.optimalUnmapGranularity) * block,
    unmapAlignment: limits.unmapGranularityAlignment * block,
    writeSameMaximum: Math.min(orNoLimit(limits.maximumWriteSameLength * block), longestWriteSame),
    zeroWriteMaximum: Math.min(transferMaximum, wholeBlocks(zeroLength, block)),
  };
}

function orNoLimit(limit: number): number {
  return limit === 0 ? Infinity : limit;
}

function wholeBlocks(length: number, block: number): number {
  return Math.max(block, Math.floor(length / block) * block);
}

/**
 * Where the piece that starts at `position` ends: all that is left when it fits, else at the last granule boundary within
 * `maximum`, so that all later pieces are aligned.
 */
export function pieceEnd(
  position: number,
  end: number,
  maximum: number,
  granularity: number,
  alignment: number,
): number {
  if (end - position <= maximum) return end;
  const boundary = roundDown(position + maximum, granularity, alignment);
  return boundary > position ? boundary : position + maximum;
}

/** The last granule boundary that is not behind `position`. */
export function roundDown(position: number, granularity: number, alignment: number): number {
  const phase = alignment % granularity;
  return Math.floor((position - phase) / granularity) * granularity + phase;
}

/** The first granule boundary that is not before `position`. */
export function roundUp(position: number, granularity: number, alignment: number): number {
  const phase = alignment % granularity;
  return Math.ceil((position - phase) / granularity) * granularity + phase;
}
