/** Command descriptor blocks outside the data path (SPC-5 §6, SBC-4 §5): each a new array, for ScsiSession.execute. */
import { OperationCode, ServiceAction } from './cdb.ts';

function uint16(value: number): readonly number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

function uint32(value: number): readonly number[] {
  return [...uint16(value >>> 16), ...uint16(value)];
}

/** TEST UNIT READY, SPC-5 §6.54. */
export function testUnitReadyCdb(): Uint8Array {
  return new Uint8Array(6);
}

/** INQUIRY, standard data; SPC-5 §6.6. */
export function inquiryCdb(allocationLength: number): Uint8Array {
  return Uint8Array.of(OperationCode.inquiry, 0, 0, ...uint16(allocationLength), 0);
}

/** INQUIRY with EVPD: one vital product data page. */
export function inquiryVpdCdb(page: number, allocationLength: number): Uint8Array {
  return Uint8Array.of(OperationCode.inquiry, 1, page, ...uint16(allocationLength), 0);
}

/** READ CAPACITY(10), SBC-4 §5.20; answers 8 bytes. */
export function readCapacity10Cdb(): Uint8Array {
  return Uint8Array.of(OperationCode.readCapacity10, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

/** READ CAPACITY(16), SBC-4 §5.21; answers 32 bytes. */
export function readCapacity16Cdb(allocationLength: number): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb[0] = OperationCode.serviceActionIn16;
  cdb[1] = ServiceAction.readCapacity16;
  cdb.set(uint32(allocationLength), 10);
  return cdb;
}

/** Byte 1 of MODE SENSE: no block descriptors, please. */
const dbdBit = 0x08;

/** MODE SENSE(6), current values; SPC-5 §6.14. */
export function modeSense6Cdb(page: number, allocationLength: number): Uint8Array {
  return Uint8Array.of(OperationCode.modeSense6, dbdBit, page & 0x3f, 0, allocationLength, 0);
}

/** MODE SENSE(10), current values; SPC-5 §6.15. */
export function modeSense10Cdb(page: number, allocationLength: number): Uint8Array {
  return Uint8Array.of(
    OperationCode.modeSense10,
    dbdBit,
    page & 0x3f,
    ...[0, 0, 0, 0],
    ...uint16(allocationLength),
    0,
  );
}

/** REPORT LUNS, SPC-5 §6.33; SELECT REPORT 00h: addressable logical units. */
export function reportLunsCdb(allocationLength: number): Uint8Array {
  return Uint8Array.of(
    OperationCode.reportLuns,
    ...[0, 0, 0, 0, 0],
    ...uint32(allocationLength),
    ...[0, 0],
  );
}

/**
 * REPORT SUPPORTED OPERATION CODES for one command, SPC-5 §6.35: reporting option 1 for an operation code without service
 * actions, 2 for one with.
 */
export function reportSupportedOperationCodeCdb(
  operationCode: number,
  serviceAction: number | undefined,
  allocationLength: number,
): Uint8Array {
  return Uint8Array.of(
    OperationCode.maintenanceIn,
    ServiceAction.reportSupportedOperationCodes,
    serviceAction === undefined ? 1 : 2,
    operationCode,
    ...uint16(serviceAction ?? 0),
    ...uint32(allocationLength),
    ...[0, 0],
  );
}

/** REPORT TARGET PORT GROUPS, SPC-5 §6.37; PARAMETER DATA FORMAT 0: length only header. */
export function reportTargetPortGroupsCdb(allocationLength: number): Uint8Array {
  return Uint8Array.of(
    OperationCode.maintenanceIn,
    ServiceAction.reportTargetPortGroups,
    ...[0, 0, 0, 0],
    ...uint32(allocationLength),
    ...[0, 0],
  );
}

/** READ(16) of no blocks: moves nothing, but says whether the operation code is known (SBC-4 §5.18). */
export function read16NothingCdb(): Uint8Array {
  const cdb = new Uint8Array(16);
  cdb[0] = OperationCode.read16;
  return cdb;
}
