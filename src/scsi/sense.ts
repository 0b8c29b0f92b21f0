/**
 * Sense data (SPC-5 §4.4): fixed format (70h, 71h) and descriptor format (72h, 73h). Parsed into an object that the caller
 * keeps, so that an error costs no allocation. Sense bytes come from the peer: whatever is missing reads as 0.
 */
export const SenseKey = {
  noSense: 0x0,
  recoveredError: 0x1,
  notReady: 0x2,
  mediumError: 0x3,
  hardwareError: 0x4,
  illegalRequest: 0x5,
  unitAttention: 0x6,
  dataProtect: 0x7,
  blankCheck: 0x8,
  vendorSpecific: 0x9,
  copyAborted: 0xa,
  abortedCommand: 0xb,
  volumeOverflow: 0xd,
  miscompare: 0xe,
  completed: 0xf,
} as const;

const keyNames: readonly string[] = [
  'NO SENSE',
  'RECOVERED ERROR',
  'NOT READY',
  'MEDIUM ERROR',
  'HARDWARE ERROR',
  'ILLEGAL REQUEST',
  'UNIT ATTENTION',
  'DATA PROTECT',
  'BLANK CHECK',
  'VENDOR SPECIFIC',
  'COPY ABORTED',
  'ABORTED COMMAND',
  'RESERVED',
  'VOLUME OVERFLOW',
  'MISCOMPARE',
  'COMPLETED',
];

/** `medium-error`: for counters and labels. */
export function senseKeyWord(key: number): string {
  return (keyNames.at(key) ?? 'RESERVED').toLowerCase().replaceAll(' ', '-');
}

/** ASC in the high byte, ASCQ in the low one (SPC-5 annex F). */
export const AdditionalSense = {
  targetPortStandby: 0x040b,
  targetPortUnavailable: 0x040c,
  invalidCommandOperationCode: 0x2000,
  lbaOutOfRange: 0x2100,
  invalidFieldInCdb: 0x2400,
  logicalUnitNotSupported: 0x2500,
  invalidFieldInParameterList: 0x2600,
  writeProtected: 0x2700,
  spaceAllocationFailedWriteProtect: 0x2707,
  asymmetricAccessStateChanged: 0x2a06,
  thinProvisioningSoftThreshold: 0x3807,
} as const;

/** NOT READY that passes by itself, in seconds or hours (SPC-5 annex F); every other kind waits for somebody to act. */
export const passingNotReady: readonly number[] = [
  0x0401, // in process of becoming ready
  0x0404, // format in progress
  0x0405, // rebuild in progress
  0x0406, // recalculation in progress
  0x0407, // operation in progress
  0x0408, // long write in progress
  0x0409, // self-test in progress
  0x040a, // asymmetric access state transition
  0x0414, // space allocation in progress
  0x041a, // START STOP UNIT in progress
  0x041b, // sanitize in progress
  0x041d, // configuration in progress
];

/** The ASC of everything about logical block protection information (SPC-5 annex F): repeating the command is no cure. */
export const protectionInformationAsc = 0x10;

export interface SenseData {
  key: number;
  /** ASC << 8 | ASCQ: a value of AdditionalSense, or any other. */
  code: number;
  /** The error belongs to an earlier command that had already been answered (SPC-5 §4.4.7). */
  deferred: boolean;
  informationValid: boolean;
  /** The INFORMATION field, for block commands usually an LBA; exact below 2^53. */
  information: number;
}

export function emptySense(): SenseData {
  return { key: 0, code: 0, deferred: false, informationValid: false, information: 0 };
}

const fixedCurrent = 0x70;
const fixedDeferred = 0x71;
const descriptorCurrent = 0x72;
const descriptorDeferred = 0x73;

/** Fills `into` from bytes[offset, +length). False: no sense data of a known format is there, and `into` is cleared. */
export function parseSense(
  bytes: Uint8Array,
  offset: number,
  length: number,
  into: SenseData,
): boolean {
  into.key = 0;
  into.code = 0;
  into.deferred = false;
  into.informationValid = false;
  into.information = 0;
  const available = Math.min(length, bytes.length - offset);
  if (available < 1) return false;
  const responseCode = bytes[offset] & 0x7f;
  into.deferred = responseCode === fixedDeferred || responseCode === descriptorDeferred;
  if (responseCode === fixedCurrent || responseCode === fixedDeferred) {
    return parseFixed(bytes, offset, available, into);
  }
  if (responseCode === descriptorCurrent || responseCode === descriptorDeferred) {
    return parseDescriptors(bytes, offset, available, into);
  }
  return false;
}

/** SPC-5 §4.4.3: ADDITIONAL SENSE LENGTH (byte 7) counts from byte 8. */
function parseFixed(
  bytes: Uint8Array,
  offset: number,
  available: number,
  into: SenseData,
): boolean {
  if (available < 3) return false;
  into.key = bytes[offset + 2] & 0x0f;
  const end = available < 8 ? available : Math.min(available, 8 + bytes[offset + 7]);
  if (end >= 13) into.code = bytes[offset + 12] << 8;
  if (end >= 14) into.code |= bytes[offset + 13];
  if (end >= 7 && (bytes[offset] & 0x80) !== 0) {
    into.informationValid = true;
    into.information = uint32At(bytes, offset + 3);
  }
  return true;
}

/** SPC-5 §4.4.2; the information descriptor is type 00h, length 0Ah (§4.4.2.2). */
function parseDescriptors(
  bytes: Uint8Array,
  offset: number,
  available: number,
  into: SenseData,
): boolean {
  if (available < 2) return false;
  into.key = bytes[offset + 1] & 0x0f;
  if (available >= 3) into.code = bytes[offset + 2] << 8;
  if (available >= 4) into.code |= bytes[offset + 3];
  if (available < 8) return true;
  const end = offset + Math.min(available, 8 + bytes[offset + 7]);
  let at = offset + 8;
  while (at + 2 <= end) {
    const descriptorLength = 2 + bytes[at + 1];
    if (at + descriptorLength > end) break;
    if (bytes[at] === 0 && descriptorLength >= 12) {
      into.informationValid = (bytes[at + 2] & 0x80) !== 0;
      into.information = uint32At(bytes, at + 4) * 2 ** 32 + uint32At(bytes, at + 8);
      break;
    }
    at += descriptorLength;
  }
  return true;
}

function uint32At(bytes: Uint8Array, offset: number): number {
  return (
    ((bytes[offset] << 24) |
      (bytes[offset + 1] << 16) |
      (bytes[offset + 2] << 8) |
      bytes[offset + 3]) >>>
    0
  );
}

/** For logs: `2a/09`. */
export function formatSenseCode(code: number): string {
  const hex = code.toString(16).padStart(4, '0');
  return `${hex.slice(0, 2)}/${hex.slice(2)}`;
}

/** For logs: `UNIT ATTENTION 2a/09`. */
export function formatSense(sense: SenseData): string {
  const deferred = sense.deferred ? ' (deferred)' : '';
  return `${keyNames[sense.key]} ${formatSenseCode(sense.code)}${deferred}`;
}
