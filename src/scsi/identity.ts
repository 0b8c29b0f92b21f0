/**
 * Who a logical unit is, so that after a reconnect, or behind another portal, the same one is recognised and another one
 * refused. VPD page 83h names the logical unit (SPC-5 §7.7.6); page 80h is the second choice.
 */
import type { InquiryData } from './inquiry.ts';
import { asciiField, hexField } from './parameter-data.ts';
import { DesignatorType, type Designator } from './vpd.ts';

export interface LogicalUnitIdentity {
  /**
   * Stable name with its kind in front: `naa.6001405…`, `eui.…`, `uuid.…`, `iscsi.…` (SCSI name string), `t10.…`, `serial.…`;
   * or `model.…` when the logical unit has nothing of its own to tell.
   */
  readonly name: string;
  /** Logical blocks. */
  readonly blocks: number;
  /** Bytes. */
  readonly logicalBlockLength: number;
}

/** How good a designator is as a name; 0 = none. World-wide names first, names that are only local later. */
function rank(designator: Designator): number {
  if (designator.association !== 0 || designator.bytes.length === 0) return 0;
  switch (designator.type) {
    case DesignatorType.naa:
      return naaRank(designator.bytes[0] >> 4);
    case DesignatorType.eui64:
      return 70;
    case DesignatorType.uuid:
      return 60;
    case DesignatorType.scsiName:
      return 50;
    case DesignatorType.t10VendorId:
      return 20;
    default:
      return 0;
  }
}

/** NAA 6, 5 and 2 hold an IEEE company identifier; 3 is locally assigned (SPC-5 §7.7.6.6). */
function naaRank(naa: number): number {
  switch (naa) {
    case 6:
      return 100;
    case 5:
      return 90;
    case 2:
      return 80;
    default:
      return 30;
  }
}

function nameOf(designator: Designator): string {
  const { type, bytes } = designator;
  switch (type) {
    case DesignatorType.naa:
      return `naa.${hexField(bytes)}`;
    case DesignatorType.eui64:
      return `eui.${hexField(bytes)}`;
    case DesignatorType.uuid:
      return `uuid.${hexField(bytes.subarray(2))}`;
    case DesignatorType.scsiName:
      return `iscsi.${asciiField(bytes, 0, bytes.length)}`;
    default:
      return `t10.${asciiField(bytes, 0, bytes.length)}`;
  }
}

/** The best name in page 83h, whose order does not matter; undefined: it does not name the logical unit. */
export function designatedName(designators: readonly Designator[]): string | undefined {
  let best: Designator | undefined;
  for (const designator of designators) {
    if (rank(designator) > (best === undefined ? 0 : rank(best))) best = designator;
  }
  return best === undefined ? undefined : nameOf(best);
}

/** The best name there is. */
export function identityName(
  designators: readonly Designator[],
  serialNumber: string,
  inquiry: InquiryData,
): string {
  const designated = designatedName(designators);
  if (designated !== undefined) return designated;
  const model = [inquiry.vendor, inquiry.product].filter((part) => part !== '').join('.');
  return serialNumber === '' ? `model.${model}` : `serial.${model}.${serialNumber}`;
}

/** What differs between a logical unit as it was and as it is. Logs, metrics and tests share these words. */
export const IdentityDifference = {
  none: 'none',
  name: 'other-logical-unit',
  blockLength: 'block-length-changed',
  shrunk: 'capacity-shrunk',
  grown: 'capacity-grown',
} as const;
export type IdentityDifference = (typeof IdentityDifference)[keyof typeof IdentityDifference];

/** The worst difference first: another unit, another block length, fewer blocks, more blocks. */
export function compareIdentity(
  before: LogicalUnitIdentity,
  after: LogicalUnitIdentity,
): IdentityDifference {
  if (before.name !== after.name) return IdentityDifference.name;
  if (before.logicalBlockLength !== after.logicalBlockLength) return IdentityDifference.blockLength;
  if (after.blocks < before.blocks) return IdentityDifference.shrunk;
  if (after.blocks > before.blocks) return IdentityDifference.grown;
  return IdentityDifference.none;
}
