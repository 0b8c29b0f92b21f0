/** Standard INQUIRY data (SPC-5 §6.6.2). */
import { asciiField, parameterView } from './parameter-data.ts';

export const PeripheralDeviceType = {
  directAccess: 0x00,
  cdDvd: 0x05,
  opticalMemory: 0x07,
  storageArrayController: 0x0c,
  hostManagedZoned: 0x14,
} as const;

/** PERIPHERAL QUALIFIER: 0 = a device is connected, 1 = none now, 3 = there can be none at this LUN. */
export const PeripheralQualifier = { connected: 0, notConnected: 1, impossible: 3 } as const;

export interface InquiryData {
  readonly peripheralQualifier: number;
  readonly peripheralDeviceType: number;
  readonly removable: boolean;
  /** VERSION: 5 = SPC-3, 6 = SPC-4, 7 = SPC-5. */
  readonly version: number;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
}

/** Reads what is there: some targets answer fewer than the 36 bytes of the standard. */
export function parseInquiry(data: Uint8Array): InquiryData {
  parameterView(data, 5, 'INQUIRY data');
  const end = Math.min(data.length, 5 + data[4]);
  return {
    peripheralQualifier: data[0] >> 5,
    peripheralDeviceType: data[0] & 0x1f,
    removable: (data[1] & 0x80) !== 0,
    version: data[2],
    vendor: asciiField(data, 8, Math.min(16, end)),
    product: asciiField(data, 16, Math.min(32, end)),
    revision: asciiField(data, 32, Math.min(36, end)),
  };
}
