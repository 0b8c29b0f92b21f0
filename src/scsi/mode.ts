/** MODE SENSE parameter data (SPC-5 §7.5, SBC-4 §6.5): write protection, DPO/FUA support, write cache. */
import { parameterView } from './parameter-data.ts';

export const ModePage = { caching: 0x08, all: 0x3f } as const;

export interface ModeParameters {
  /** WP: the medium is write protected. */
  readonly writeProtected: boolean;
  /** DPOFUA: the FUA bit of READ and WRITE is supported. */
  readonly dpoFua: boolean;
  /** WCE of the caching page; undefined when the page is not there. */
  readonly writeCacheEnabled: boolean | undefined;
}

/** MODE SENSE(6) data: header of 4 bytes. */
export function parseModeSense6(data: Uint8Array): ModeParameters {
  parameterView(data, 4, 'MODE SENSE(6) data');
  return parseMode(data, data[2], 4 + data[3], 1 + data[0]);
}

/** MODE SENSE(10) data: header of 8 bytes. */
export function parseModeSense10(data: Uint8Array): ModeParameters {
  const view = parameterView(data, 8, 'MODE SENSE(10) data');
  return parseMode(data, data[3], 8 + view.getUint16(6), 2 + view.getUint16(0));
}

function parseMode(
  data: Uint8Array,
  deviceSpecific: number,
  firstPage: number,
  modeDataEnd: number,
): ModeParameters {
  return {
    writeProtected: (deviceSpecific & 0x80) !== 0,
    dpoFua: (deviceSpecific & 0x10) !== 0,
    writeCacheEnabled: findWriteCache(data, firstPage, Math.min(data.length, modeDataEnd)),
  };
}

/** Walks the mode pages; page_0 format has a 2-byte header, sub-page format (SPF) one of 4 bytes. */
function findWriteCache(data: Uint8Array, firstPage: number, end: number): boolean | undefined {
  let at = firstPage;
  while (at + 3 <= end) {
    const subPage = (data[at] & 0x40) !== 0;
    if (!subPage && (data[at] & 0x3f) === ModePage.caching) return (data[at + 2] & 0x04) !== 0;
    if (subPage && at + 4 > end) return undefined;
    at += subPage ? 4 + ((data[at + 2] << 8) | data[at + 3]) : 2 + data[at + 1];
  }
  return undefined;
}
