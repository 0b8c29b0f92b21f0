/** What becomes of a device when its logical unit is found changed. */
import { IdentityDifference, compareIdentity } from '../scsi/identity.ts';
import type { LogicalUnitProfile } from './profile.ts';

export interface Revision {
  readonly difference: IdentityDifference;
  /** What is to be served from now on; undefined: nothing, this is another device. */
  readonly profile: LogicalUnitProfile | undefined;
}

/**
 * A logical unit that has grown is served whole. One that has shrunk keeps its size, because users of a device do not expect its end to
 * move towards them: what is within the new end works, and what is beyond is refused by the logical unit itself.
 */
export function reviseProfile(served: LogicalUnitProfile, found: LogicalUnitProfile): Revision {
  const difference = compareIdentity(served.identity, found.identity);
  switch (difference) {
    case IdentityDifference.name:
    case IdentityDifference.blockLength:
      return { difference, profile: undefined };
    case IdentityDifference.shrunk: {
      const { blocks } = served;
      return { difference, profile: { ...found, blocks, identity: { ...found.identity, blocks } } };
    }
    case IdentityDifference.grown:
    case IdentityDifference.none:
      return { difference, profile: found };
  }
}
