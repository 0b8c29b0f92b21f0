/** Asymmetric logical unit access (SPC-5 §5.18): REPORT TARGET PORT GROUPS and how a logical unit says that it has it. */
import { parameterView } from './parameter-data.ts';
import type { Designator } from './vpd.ts';

/** ASYMMETRIC ACCESS STATE (SPC-5 §6.37). */
export const AccessState = {
  activeOptimized: 0x0,
  activeNonOptimized: 0x1,
  standby: 0x2,
  unavailable: 0x3,
  logicalBlockDependent: 0x4,
  offline: 0xe,
  transitioning: 0xf,
} as const;

const names: Readonly<Record<number, string>> = {
  [AccessState.activeOptimized]: 'active/optimized',
  [AccessState.activeNonOptimized]: 'active/non-optimized',
  [AccessState.standby]: 'standby',
  [AccessState.unavailable]: 'unavailable',
  [AccessState.logicalBlockDependent]: 'logical block dependent',
  [AccessState.offline]: 'offline',
  [AccessState.transitioning]: 'transitioning',
};

export function accessStateName(state: number): string {
  return names[state] ?? `reserved state ${state}`;
}

/** Standard INQUIRY data: TPGS is not 0, so that target port groups can be asked for (SPC-5 §6.6.2). */
export function hasTargetPortGroups(inquiryData: Uint8Array): boolean {
  return inquiryData.length > 5 && (inquiryData[5] & 0x30) !== 0;
}

/** Designators of the port that a command came through (VPD page 83h, ASSOCIATION 1): its group, if it says so. */
export function targetPortGroupOf(designators: readonly Designator[]): number | undefined {
  const found = designators.find(
    ({ association, type, bytes }) =>
      association === targetPortAssociation && type === targetPortGroupType && bytes.length === 4,
  );
  return found === undefined ? undefined : (found.bytes[2] << 8) | found.bytes[3];
}

const targetPortAssociation = 1;
const targetPortGroupType = 5;

export interface TargetPortGroup {
  /** TARGET PORT GROUP: its number. */
  readonly group: number;
  /** A value of AccessState, or a reserved one. */
  readonly state: number;
  /** PREF: the device server would like this group to be used. */
  readonly preferred: boolean;
}

const headerLength = 4;
const groupLength = 8;
const portLength = 4;

/** Parameter data with the length only header (SPC-5 §6.37). What our allocation length has cut off is left out. */
export function parseTargetPortGroups(data: Uint8Array): readonly TargetPortGroup[] {
  const view = parameterView(data, headerLength, 'REPORT TARGET PORT GROUPS data');
  const end = Math.min(data.length, headerLength + view.getUint32(0));
  const groups: TargetPortGroup[] = [];
  for (let at = headerLength; at + groupLength <= end;) {
    groups.push({
      group: view.getUint16(at + 2),
      state: data[at] & 0x0f,
      preferred: (data[at] & 0x80) !== 0,
    });
    at += groupLength + portLength * data[at + 7];
  }
  return groups;
}
