import { copyBytes, readResponseHeader } from './response-header.ts';
import type { ResponseHeader } from './response-header.ts';

/*
 * Asynchronous Message (RFC 7143 §11.9)
 *
 *   0 |.|.| 0x32      |1| Reserved                                    |
 *   4 | TotalAHSLength| DataSegmentLength                             |
 *   8 | LUN or Reserved (8 bytes)                                     |
 *  16 | 0xffffffff                                                    |
 *  20 | Reserved                                                      |
 *  24 | StatSN                                                        |
 *  28 | ExpCmdSN                                                      |
 *  32 | MaxCmdSN                                                      |
 *  36 | AsyncEvent    | AsyncVCode    | Parameter1                    |
 *  40 | Parameter2                    | Parameter3                    |
 *  44 | Reserved                                                      |
 *  48 | SenseLength, Sense Data (event 0) or event specific           |
 */

/** RFC 7143 §11.9.1. */
export const AsyncEvent = {
  scsiAsyncEvent: 0,
  logoutRequested: 1,
  connectionWillDrop: 2,
  sessionWillDrop: 3,
  renegotiationRequested: 4,
  /** FastAbort: the active tasks of the LU in the LUN field are terminated. */
  tasksTerminating: 5,
  vendorSpecific: 255,
} as const;

export interface AsyncMessage extends ResponseHeader {
  /** AsyncEvent, or a number that RFC 7143 does not know. */
  readonly event: number;
  readonly vendorCode: number;
  readonly lunHigh: number;
  readonly lunLow: number;
  /** connectionWillDrop: CID. */
  readonly parameter1: number;
  /** connectionWillDrop, sessionWillDrop: Time2Wait in seconds. */
  readonly parameter2: number;
  /** logoutRequested: seconds left to log out in; connectionWillDrop, sessionWillDrop: Time2Retain in seconds. */
  readonly parameter3: number;
  /** Sense data of event 0, clamped to the data segment. */
  readonly sense: Uint8Array;
}

export function readAsyncMessage(
  view: DataView,
  bhsOffset: number,
  dataOffset: number,
  dataLength: number,
): AsyncMessage {
  const event = view.getUint8(bhsOffset + 36);
  const senseLength =
    event === AsyncEvent.scsiAsyncEvent && dataLength > 2
      ? Math.min(view.getUint16(dataOffset), dataLength - 2)
      : 0;
  return {
    ...readResponseHeader(view, bhsOffset),
    event,
    vendorCode: view.getUint8(bhsOffset + 37),
    lunHigh: view.getUint32(bhsOffset + 8),
    lunLow: view.getUint32(bhsOffset + 12),
    parameter1: view.getUint16(bhsOffset + 38),
    parameter2: view.getUint16(bhsOffset + 40),
    parameter3: view.getUint16(bhsOffset + 42),
    sense: copyBytes(view, dataOffset + 2, senseLength),
  };
}
