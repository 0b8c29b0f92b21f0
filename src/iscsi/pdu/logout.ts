import { BhsField, Opcode, finalBit, immediateBit } from '../../wire/bhs.ts';
import { readResponseHeader } from './response-header.ts';
import type { ResponseHeader } from './response-header.ts';

/*
 * Logout Request (RFC 7143 §11.14)            Logout Response (RFC 7143 §11.15)
 *
 *   0 |.|I| 0x06 |1| Reason | Reserved |       0 |.|.| 0x26 |1| Reserved | Response | . |
 *   4 | TotalAHSLength, DSL            |       4 | TotalAHSLength, DSL                  |
 *   8 | Reserved (8 bytes)             |       8 | Reserved (8 bytes)                   |
 *  16 | Initiator Task Tag             |      16 | Initiator Task Tag                   |
 *  20 | CID or Reserved | Reserved     |      20 | Reserved                             |
 *  24 | CmdSN                          |      24 | StatSN                               |
 *  28 | ExpStatSN                      |      28 | ExpCmdSN                             |
 *  32 | Reserved (16 bytes)            |      32 | MaxCmdSN, Reserved (4 bytes)         |
 *                                             40 | Time2Wait       | Time2Retain        |
 */

/** RFC 7143 §11.14.1. */
export const LogoutReason = { closeSession: 0, closeConnection: 1, removeConnection: 2 } as const;
export type LogoutReason = (typeof LogoutReason)[keyof typeof LogoutReason];

/** RFC 7143 §11.15.1. */
export const LogoutResponseCode = {
  closed: 0,
  cidNotFound: 1,
  connectionRecoveryNotSupported: 2,
  cleanupFailed: 3,
} as const;

export interface LogoutResponse extends ResponseHeader {
  /** LogoutResponseCode; after any of them the connection is done with. */
  readonly response: number;
  /** Seconds to wait before a reconnect. */
  readonly time2Wait: number;
  /** Seconds that the target keeps the session's state. */
  readonly time2Retain: number;
}

/** Writes an immediate Logout Request, which does not consume `cmdSn`. @param connectionId ignored for closeSession */
export function writeLogoutRequest(
  view: DataView,
  bhsOffset: number,
  reason: LogoutReason,
  initiatorTaskTag: number,
  connectionId: number,
  cmdSn: number,
  expStatSn: number,
): void {
  view.setUint32(
    bhsOffset,
    ((Opcode.logoutRequest | immediateBit) << 24) | ((finalBit | reason) << 16),
  );
  view.setUint32(bhsOffset + BhsField.totalAhsLength, 0);
  view.setUint32(bhsOffset + 8, 0);
  view.setUint32(bhsOffset + 12, 0);
  view.setUint32(bhsOffset + BhsField.initiatorTaskTag, initiatorTaskTag);
  view.setUint32(bhsOffset + 20, reason === LogoutReason.closeSession ? 0 : connectionId << 16);
  view.setUint32(bhsOffset + BhsField.cmdSn, cmdSn);
  view.setUint32(bhsOffset + BhsField.expStatSn, expStatSn);
  for (let at = 32; at < 48; at += 4) view.setUint32(bhsOffset + at, 0);
}

export function readLogoutResponse(view: DataView, bhsOffset: number): LogoutResponse {
  return {
    ...readResponseHeader(view, bhsOffset),
    response: view.getUint8(bhsOffset + BhsField.response),
    time2Wait: view.getUint16(bhsOffset + 40),
    time2Retain: view.getUint16(bhsOffset + 42),
  };
}
