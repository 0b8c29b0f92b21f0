/** What probing has found out about a logical unit, and the block geometry that follows from it. */
import type { LogicalUnitIdentity } from '../scsi/identity.ts';
import type { BlockLimits, LogicalBlockProvisioning } from '../scsi/vpd.ts';
import type { BlockGeometry } from './device.ts';

/** undefined: the logical unit did not say; find out by trying. */
export type MaybeSupported = boolean | undefined;

export interface LogicalUnitProfile {
  readonly identity: LogicalUnitIdentity;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  readonly serialNumber: string;
  readonly peripheralDeviceType: number;
  /** Logical blocks. */
  readonly blocks: number;
  /** Bytes. */
  readonly logicalBlockLength: number;
  /** Bytes. */
  readonly physicalBlockLength: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  /** FUA bit of WRITE. */
  readonly dpoFua: boolean;
  /** WCE; undefined: the logical unit has no caching page. */
  readonly writeCacheEnabled: boolean | undefined;
  /** READ(16) and WRITE(16) work; false only on small, old units. */
  readonly commands16: boolean;
  readonly limits: BlockLimits;
  readonly provisioning: LogicalBlockProvisioning;
  /** Logical block provisioning is enabled (READ CAPACITY(16)). */
  readonly lbpme: boolean;
  readonly writeSame16: MaybeSupported;
  /** WRITE SAME(16) without a data-out buffer: only when the logical unit says so, others may write anything. */
  readonly writeSameNdob: boolean;
  readonly getLbaStatus: MaybeSupported;
  readonly synchronizeCache16: MaybeSupported;
}

/** UNMAP can be used: SBC-4 §6.6.4 says that a MAXIMUM UNMAP LBA COUNT of 0 means that it cannot. */
export function canUnmap(profile: LogicalUnitProfile): boolean {
  return profile.lbpme && profile.provisioning.lbpu && profile.limits.maximumUnmapLbaCount > 0;
}

/** WRITE SAME(16) with the UNMAP bit can be used. */
export function canWriteSameUnmap(profile: LogicalUnitProfile): boolean {
  return profile.lbpme && profile.provisioning.lbpws && profile.writeSame16 !== false;
}

const defaultPreferredLength = 4096;
/** What NBD clients may send at least (proto.md: Block size constraints); a preferred length beyond is no help. */
const largestPreferredLength = 1 << 20;

/** `readOnly` makes a writable unit read-only; it cannot do the reverse. */
export function geometryOf(profile: LogicalUnitProfile, readOnly: boolean): BlockGeometry {
  const isReadOnly = readOnly || profile.readOnly;
  return {
    sizeBytes: profile.blocks * profile.logicalBlockLength,
    logicalBlockLength: profile.logicalBlockLength,
    preferredLength: preferredLength(profile),
    readOnly: isReadOnly,
    rotational: profile.rotational,
    canTrim: !isReadOnly && (canUnmap(profile) || canWriteSameUnmap(profile)),
    fastZeroes: !isReadOnly && profile.writeSame16 === true,
    knowsAllocation: profile.lbpme && profile.getLbaStatus !== false,
  };
}

function preferredLength(profile: LogicalUnitProfile): number {
  const granularity = profile.limits.optimalTransferGranularity * profile.logicalBlockLength;
  let preferred = Math.max(
    defaultPreferredLength,
    profile.logicalBlockLength,
    profile.physicalBlockLength <= largestPreferredLength ? profile.physicalBlockLength : 0,
  );
  const usable = granularity <= largestPreferredLength && (granularity & (granularity - 1)) === 0;
  if (usable && granularity > preferred) preferred = granularity;
  return preferred;
}
