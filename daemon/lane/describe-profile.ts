import {
  canUnmap,
  canWriteSameUnmap,
  type LogicalUnitProfile,
  type MaybeSupported,
} from '../../src/block/profile.ts';

/** What a logical unit is and can do, for people (`iserctl inspect`). Limits are in blocks where SBC counts blocks. */
export function describeProfile(
  profile: LogicalUnitProfile,
): Record<string, string | number | boolean> {
  const { limits, provisioning } = profile;
  return {
    'serial number': profile.serialNumber,
    'capacity (blocks)': profile.blocks,
    'logical block length': profile.logicalBlockLength,
    'physical block length': profile.physicalBlockLength,
    'read only': profile.readOnly,
    rotational: profile.rotational,
    'write cache': profile.writeCacheEnabled ?? 'unknown',
    FUA: profile.dpoFua,
    'READ(16), WRITE(16)': profile.commands16,
    'thin provisioned': profile.lbpme,
    UNMAP: canUnmap(profile),
    'WRITE SAME(16)': said(profile.writeSame16),
    'WRITE SAME(16) with UNMAP': canWriteSameUnmap(profile),
    'GET LBA STATUS': said(profile.getLbaStatus),
    'SYNCHRONIZE CACHE(16)': said(profile.synchronizeCache16),
    'unmapped blocks read as zero': provisioning.lbprz,
    'maximum transfer length': limits.maximumTransferLength,
    'optimal transfer length': limits.optimalTransferLength,
    'optimal transfer granularity': limits.optimalTransferGranularity,
    'maximum unmap LBA count': limits.maximumUnmapLbaCount,
    'maximum unmap descriptors': limits.maximumUnmapDescriptorCount,
    'maximum write same length': limits.maximumWriteSameLength,
  };
}

function said(supported: MaybeSupported): string {
  if (supported === undefined) return 'not said';
  return supported ? 'yes' : 'no';
}
