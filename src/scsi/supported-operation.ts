/** REPORT SUPPORTED OPERATION CODES, one-command format (SPC-5 §6.35.3). */
import { parameterView } from './parameter-data.ts';

export interface SupportedOperation {
  /** SUPPORT: undefined = the logical unit does not know just now. */
  readonly supported: boolean | undefined;
  /** CDB USAGE DATA: a bit mask of the CDB bits that the logical unit looks at; byte 0 is the operation code. */
  readonly usage: Uint8Array;
}

export function parseSupportedOperation(data: Uint8Array): SupportedOperation {
  const view = parameterView(data, 4, 'REPORT SUPPORTED OPERATION CODES data');
  const support = data[1] & 0x07;
  return {
    // 011b: as the standard says; 101b: in the vendor's own way, which is of no use to us; 001b: not at all.
    supported: support === 0 ? undefined : support === 3,
    usage: data.slice(4, 4 + view.getUint16(2)),
  };
}
