/** What the end of a SCSI task means for the block request that it belongs to. */
import { TaskOutcome, senseCapacity, type TaskTable } from '../iscsi/task-table.ts';
import {
  AdditionalSense,
  SenseKey,
  parseSense,
  protectionInformationAsc,
  type SenseData,
} from '../scsi/sense.ts';
import { ScsiStatus } from '../scsi/status.ts';
import { BlockError } from './request-table.ts';

export const Verdict = {
  success: 0,
  /** Send it again, a few times. */
  retryNow: 1,
  /** Send it again after a pause, until the deadline. */
  retryLater: 2,
  /** The logical unit does not know the operation code. */
  invalidCommand: 3,
  /** It does not like a field of the CDB or of the parameter list. */
  invalidField: 4,
  /** This and above: the request fails with BlockError `verdict - failed`. */
  failed: 16,
} as const;

const ioError = Verdict.failed + BlockError.ioError;

/** `writes`: the task changes blocks. `sense` is filled in when there is CHECK CONDITION. */
export function judgeTask(
  tasks: TaskTable,
  task: number,
  writes: boolean,
  sense: SenseData,
): number {
  switch (tasks.outcome[task]) {
    case TaskOutcome.answered:
      break;
    case TaskOutcome.sessionClosed:
      return Verdict.failed + BlockError.shuttingDown;
    default:
      return ioError;
  }
  switch (tasks.scsiStatus[task]) {
    case ScsiStatus.good:
    case ScsiStatus.conditionMet:
      return Verdict.success;
    case ScsiStatus.checkCondition: {
      const start = task * senseCapacity;
      if (!parseSense(tasks.sense, start, tasks.senseLength[task], sense)) return ioError;
      return judgeSense(sense, writes);
    }
    case ScsiStatus.busy:
    case ScsiStatus.taskSetFull:
      return Verdict.retryLater;
    case ScsiStatus.taskAborted:
      return Verdict.retryNow;
    default:
      return ioError;
  }
}

/** Sense keys: SPC-5 §4.4.8. */
export function judgeSense(sense: SenseData, writes: boolean): number {
  // A deferred error is another command's: this one was not carried out (SPC-5 §4.4.7).
  if (sense.deferred) return Verdict.retryNow;
  switch (sense.key) {
    case SenseKey.recoveredError:
      return Verdict.success;
    case SenseKey.notReady:
      return judgeNotReady(sense.code);
    case SenseKey.unitAttention:
      return Verdict.retryNow;
    case SenseKey.abortedCommand:
      return sense.code >> 8 === protectionInformationAsc ? ioError : Verdict.retryNow;
    case SenseKey.illegalRequest:
      return judgeIllegalRequest(sense.code, writes);
    case SenseKey.dataProtect:
      return sense.code === AdditionalSense.spaceAllocationFailedWriteProtect
        ? Verdict.failed + BlockError.noSpace
        : Verdict.failed + BlockError.notPermitted;
    case SenseKey.volumeOverflow:
      return Verdict.failed + BlockError.noSpace;
    default:
      return isSpaceShortage(sense.code) ? Verdict.failed + BlockError.noSpace : ioError;
  }
}

function isSpaceShortage(code: number): boolean {
  return (
    code === AdditionalSense.spaceAllocationFailedWriteProtect ||
    code === AdditionalSense.thinProvisioningSoftThreshold
  );
}

function judgeNotReady(code: number): number {
  switch (code) {
    case AdditionalSense.notReadyBecomingReady:
    case AdditionalSense.notReadyOperationInProgress:
    case AdditionalSense.asymmetricAccessTransition:
    case AdditionalSense.spaceAllocationInProgress:
      return Verdict.retryLater;
    default:
      return ioError;
  }
}

function judgeIllegalRequest(code: number, writes: boolean): number {
  switch (code) {
    case AdditionalSense.invalidCommandOperationCode:
      return Verdict.invalidCommand;
    case AdditionalSense.invalidFieldInCdb:
    case AdditionalSense.invalidFieldInParameterList:
      return Verdict.invalidField;
    case AdditionalSense.lbaOutOfRange:
      return Verdict.failed + (writes ? BlockError.noSpace : BlockError.invalid);
    default:
      return ioError;
  }
}
