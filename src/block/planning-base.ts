/** Everything that follows from a logical unit's profile; replaced as a whole when the unit changes. */
import { Capabilities } from './capabilities.ts';
import type { BlockGeometry } from './device.ts';
import { geometryOf, type LogicalUnitProfile } from './profile.ts';
import { splitLimits, type SplitLimits } from './split.ts';

export interface PlanningBase {
  readonly profile: LogicalUnitProfile;
  readonly geometry: BlockGeometry;
  readonly capabilities: Capabilities;
  readonly limits: SplitLimits;
}

/** `maxTransferLength` (of the transport) and `zeroLength` (of the zero buffer) in bytes. */
export function planningBase(
  profile: LogicalUnitProfile,
  readOnly: boolean,
  maxTransferLength: number,
  zeroLength: number,
): PlanningBase {
  return {
    profile,
    geometry: geometryOf(profile, readOnly),
    capabilities: new Capabilities(profile),
    limits: splitLimits(profile, maxTransferLength, zeroLength),
  };
}
