/** Vital product data pages (SPC-5 §7.7, SBC-4 §6.6) that say who a logical unit is and what it can do. */
import { ProtocolError } from '../errors.ts';
import { asciiField, parameterView } from './parameter-data.ts';

export const VpdPage = {
  supportedPages: 0x00,
  unitSerialNumber: 0x80,
  deviceIdentification: 0x83,
  blockLimits: 0xb0,
  blockDeviceCharacteristics: 0xb1,
  logicalBlockProvisioning: 0xb2,
} as const;

const headerLength = 4;

/** The page without its 4-byte header, as far as it is there; refuses a page that is not the one asked for. */
function pageBody(data: Uint8Array, page: number): Uint8Array {
  const name = `VPD page ${page.toString(16).padStart(2, '0')}h`;
  const view = parameterView(data, headerLength, name);
  if (data[1] !== page) {
    throw new ProtocolError(
      'wrong-vpd-page',
      `${name}: the PAGE CODE field says ${data[1].toString(16).padStart(2, '0')}h`,
    );
  }
  return data.subarray(headerLength, headerLength + view.getUint16(2));
}

/** Page 00h: the page codes that there are. */
export function parseSupportedPages(data: Uint8Array): readonly number[] {
  return Array.from(pageBody(data, VpdPage.supportedPages));
}

/** The page allows 65535 bytes; a name is made of the number, and goes into logs. */
const longestSerialNumber = 255;

/** Page 80h: the unit serial number, '' when there is none; no more than its first 255 characters. */
export function parseUnitSerialNumber(data: Uint8Array): string {
  const body = pageBody(data, VpdPage.unitSerialNumber);
  return asciiField(body, 0, Math.min(body.length, longestSerialNumber));
}

/** DESIGNATOR TYPE (SPC-5 §7.7.6.1). */
export const DesignatorType = {
  vendorSpecific: 0,
  t10VendorId: 1,
  eui64: 2,
  naa: 3,
  scsiName: 8,
  uuid: 10,
} as const;

export interface Designator {
  readonly type: number;
  /** CODE SET: 1 binary, 2 ASCII, 3 UTF-8. */
  readonly codeSet: number;
  /** ASSOCIATION: 0 the logical unit, 1 the target port, 2 the target device. */
  readonly association: number;
  readonly bytes: Uint8Array;
}

/**
 * Page 83h. A designator that runs past the page is refused; one that runs past what our allocation length let through is
 * left out.
 */
export function parseDeviceIdentification(data: Uint8Array): readonly Designator[] {
  const body = pageBody(data, VpdPage.deviceIdentification);
  const pageLength = (data[2] << 8) | data[3];
  const designators: Designator[] = [];
  let at = 0;
  while (at + 4 <= body.length) {
    const end = at + 4 + body[at + 3];
    if (end > pageLength) {
      throw new ProtocolError(
        'designator-too-long',
        `VPD page 83h: a designator ends at ${end}, the page at ${pageLength}`,
      );
    }
    if (end > body.length) break;
    designators.push({
      type: body[at + 1] & 0x0f,
      codeSet: body[at] & 0x0f,
      association: (body[at + 1] >> 4) & 0x3,
      bytes: body.slice(at + 4, end),
    });
    at = end;
  }
  return designators;
}

/** Page B0h, counts in logical blocks; 0 = the logical unit reports none (for unmap: cannot). */
export interface BlockLimits {
  readonly optimalTransferGranularity: number;
  readonly maximumTransferLength: number;
  readonly optimalTransferLength: number;
  /** 0xffffffff = no limit. */
  readonly maximumUnmapLbaCount: number;
  readonly maximumUnmapDescriptorCount: number;
  readonly optimalUnmapGranularity: number;
  /** First LBA of a granule, when the logical unit says so, else 0. */
  readonly unmapGranularityAlignment: number;
  /** Clipped to 2^53 - 1. */
  readonly maximumWriteSameLength: number;
}

export const noBlockLimits: BlockLimits = {
  optimalTransferGranularity: 0,
  maximumTransferLength: 0,
  optimalTransferLength: 0,
  maximumUnmapLbaCount: 0,
  maximumUnmapDescriptorCount: 0,
  optimalUnmapGranularity: 0,
  unmapGranularityAlignment: 0,
  maximumWriteSameLength: 0,
};

/** SBC-2 ends the page after byte 15, SBC-3 after byte 63: fields that are not there read as 0. */
export function parseBlockLimits(data: Uint8Array): BlockLimits {
  const body = new Uint8Array(60);
  body.set(pageBody(data, VpdPage.blockLimits).subarray(0, body.length));
  const view = new DataView(body.buffer);
  // Offsets are the standard's, less the 4 bytes of the header.
  const alignment = view.getUint32(28);
  return {
    optimalTransferGranularity: view.getUint16(2),
    maximumTransferLength: view.getUint32(4),
    optimalTransferLength: view.getUint32(8),
    maximumUnmapLbaCount: view.getUint32(16),
    maximumUnmapDescriptorCount: view.getUint32(20),
    optimalUnmapGranularity: view.getUint32(24),
    // UGAVALID is the top bit.
    unmapGranularityAlignment: alignment >= 0x80000000 ? alignment - 0x80000000 : 0,
    maximumWriteSameLength: Math.min(
      view.getUint32(32) * 2 ** 32 + view.getUint32(36),
      Number.MAX_SAFE_INTEGER,
    ),
  };
}

/** Page B1h: MEDIUM ROTATION RATE; 0 = not reported, 1 = does not rotate, else revolutions per minute. */
export function parseRotationRate(data: Uint8Array): number {
  const body = pageBody(data, VpdPage.blockDeviceCharacteristics);
  return body.length < 2 ? 0 : (body[0] << 8) | body[1];
}

/** Page B2h. */
export interface LogicalBlockProvisioning {
  /** UNMAP works. */
  readonly lbpu: boolean;
  /** WRITE SAME(16) with UNMAP works. */
  readonly lbpws: boolean;
  /** Unmapped blocks read as zeroes. */
  readonly lbprz: boolean;
  readonly anchorSupported: boolean;
  /** PROVISIONING TYPE: 1 resource, 2 thin. */
  readonly provisioningType: number;
}

export const noProvisioning: LogicalBlockProvisioning = {
  lbpu: false,
  lbpws: false,
  lbprz: false,
  anchorSupported: false,
  provisioningType: 0,
};

export function parseLogicalBlockProvisioning(data: Uint8Array): LogicalBlockProvisioning {
  const body = pageBody(data, VpdPage.logicalBlockProvisioning);
  if (body.length < 2) return noProvisioning;
  return {
    lbpu: (body[1] & 0x80) !== 0,
    lbpws: (body[1] & 0x40) !== 0,
    // A 3-bit field since SBC-4: xx1b means zeroes, 010b a pattern of the vendor's.
    lbprz: (body[1] & 0x04) !== 0,
    anchorSupported: (body[1] & 0x02) !== 0,
    provisioningType: body.length < 3 ? 0 : body[2] & 0x07,
  };
}
