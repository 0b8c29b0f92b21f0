import { BhsField, Opcode, finalBit, immediateBit } from '../../wire/bhs.ts';
import { readResponseHeader } from './response-header.ts';
import type { ResponseHeader } from './response-header.ts';

/*
 * Task Management Function Request (RFC 7143 §11.5)   Response (RFC 7143 §11.6)
 *
 *   0 |.|I| 0x02 |1| Function | Reserved  |      0 |.|.| 0x22 |1| Reserved | Response | . |
 *   4 | TotalAHSLength, DSL               |      4 | TotalAHSLength, DSL                  |
 *   8 | LUN or Reserved (8 bytes)         |      8 | Reserved (8 bytes)                   |
 *  16 | Initiator Task Tag                |     16 | Initiator Task Tag                   |
 *  20 | Referenced Task Tag or 0xffffffff |     20 | Reserved                             |
 *  24 | CmdSN                             |     24 | StatSN                               |
 *  28 | ExpStatSN                         |     28 | ExpCmdSN                             |
 *  32 | RefCmdSN or Reserved              |     32 | MaxCmdSN                             |
 *  36 | ExpDataSN or Reserved             |     36 | Reserved (12 bytes)                  |
 *  40 | Reserved (8 bytes)                |
 */

/** RFC 7143 §11.5.1. */
export const TaskManagementFunction = {
  abortTask: 1,
  abortTaskSet: 2,
  clearAca: 3,
  clearTaskSet: 4,
  logicalUnitReset: 5,
  targetWarmReset: 6,
  targetColdReset: 7,
  taskReassign: 8,
} as const;
export type TaskManagementFunction =
  (typeof TaskManagementFunction)[keyof typeof TaskManagementFunction];

/** RFC 7143 §11.6.1. */
export const TaskManagementResponseCode = {
  functionComplete: 0,
  taskDoesNotExist: 1,
  lunDoesNotExist: 2,
  taskStillAllegiant: 3,
  taskAllegianceReassignmentNotSupported: 4,
  functionNotSupported: 5,
  functionAuthorizationFailed: 6,
  functionRejected: 255,
} as const;

export interface TaskManagementResponse extends ResponseHeader {
  /** TaskManagementResponseCode; unknown numbers mean refusal. */
  readonly response: number;
}

/**
 * Writes an immediate request, which does not consume `cmdSn`.
 * @param lun result of encodeLun
 * @param referencedTaskTag the task to abort, otherwise reservedTag @param refCmdSn its CmdSN, otherwise 0
 */
export function writeTaskManagementRequest(
  view: DataView,
  bhsOffset: number,
  taskFunction: TaskManagementFunction,
  lun: number,
  initiatorTaskTag: number,
  referencedTaskTag: number,
  cmdSn: number,
  expStatSn: number,
  refCmdSn: number,
): void {
  view.setUint32(
    bhsOffset,
    ((Opcode.taskManagementRequest | immediateBit) << 24) | ((finalBit | taskFunction) << 16),
  );
  view.setUint32(bhsOffset + BhsField.totalAhsLength, 0);
  view.setUint32(bhsOffset + BhsField.lun, lun);
  view.setUint32(bhsOffset + BhsField.lun + 4, 0);
  view.setUint32(bhsOffset + BhsField.initiatorTaskTag, initiatorTaskTag);
  view.setUint32(bhsOffset + 20, referencedTaskTag);
  view.setUint32(bhsOffset + BhsField.cmdSn, cmdSn);
  view.setUint32(bhsOffset + BhsField.expStatSn, expStatSn);
  view.setUint32(bhsOffset + 32, refCmdSn);
  for (let at = 36; at < 48; at += 4) view.setUint32(bhsOffset + at, 0);
}

export function readTaskManagementResponse(
  view: DataView,
  bhsOffset: number,
): TaskManagementResponse {
  return {
    ...readResponseHeader(view, bhsOffset),
    response: view.getUint8(bhsOffset + BhsField.response),
  };
}
