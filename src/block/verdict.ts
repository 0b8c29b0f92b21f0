/** What the end of a SCSI task means for the block request that it belongs to. */
import { TaskOutcome, senseCapacity, type TaskTable } from '../iscsi/task-table.ts';
import {
  AdditionalSense,
  SenseKey,
  parseSense,
  passingNotReady,
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
const notPermitted = Verdict.failed + BlockError.notPermitted;
const noSpace = Verdict.failed + BlockError.noSpace;
const invalid = Verdict.failed + BlockError.invalid;
const shuttingDown = Verdict.failed + BlockError.shuttingDown;

export interface SenseRule {
  /** Sense key; undefined: any. */
  readonly key?: number;
  /** ASC << 8 | ASCQ, one of these; undefined: any. */
  readonly codes?: readonly number[];
  /** All of this ASC. */
  readonly asc?: number;
  readonly verdict: number;
  /** For tasks that change blocks, where it differs. */
  readonly whenWriting?: number;
  readonly reason: string;
}

/** Sense keys: SPC-5 §4.4.8; codes: annex F. The first rule that fits counts. */
export const senseRules: readonly SenseRule[] = [
  {
    key: SenseKey.recoveredError,
    verdict: Verdict.success,
    reason: 'it was carried out, with some effort',
  },
  {
    key: SenseKey.notReady,
    codes: passingNotReady,
    verdict: Verdict.retryLater,
    reason: 'that passes by itself',
  },
  { key: SenseKey.notReady, verdict: ioError, reason: 'somebody has to act first' },
  {
    key: SenseKey.unitAttention,
    verdict: Verdict.retryNow,
    reason: 'told once, and the command was not carried out',
  },
  {
    key: SenseKey.abortedCommand,
    asc: protectionInformationAsc,
    verdict: ioError,
    reason: 'the blocks and their protection information disagree, and will again',
  },
  {
    key: SenseKey.abortedCommand,
    verdict: Verdict.retryNow,
    reason: 'aborted by the device server: it may be sent again',
  },
  {
    key: SenseKey.illegalRequest,
    codes: [AdditionalSense.invalidCommandOperationCode],
    verdict: Verdict.invalidCommand,
    reason: 'there may be another command for it',
  },
  {
    key: SenseKey.illegalRequest,
    codes: [AdditionalSense.invalidFieldInCdb, AdditionalSense.invalidFieldInParameterList],
    verdict: Verdict.invalidField,
    reason: 'it may work without what is optional in it',
  },
  {
    key: SenseKey.illegalRequest,
    codes: [AdditionalSense.lbaOutOfRange],
    verdict: invalid,
    whenWriting: noSpace,
    reason: 'beyond the end (proto.md: Error values)',
  },
  {
    key: SenseKey.illegalRequest,
    verdict: ioError,
    reason: 'the logical unit is not as we know it',
  },
  {
    codes: [
      AdditionalSense.spaceAllocationFailedWriteProtect,
      AdditionalSense.thinProvisioningSoftThreshold,
    ],
    verdict: noSpace,
    reason: 'thin provisioning has run out of space (SBC-4 §4.7.3.6)',
  },
  { key: SenseKey.dataProtect, verdict: notPermitted, reason: 'write protected' },
  { key: SenseKey.volumeOverflow, verdict: noSpace, reason: 'the end of the medium' },
  { verdict: ioError, reason: 'medium, hardware, or nothing that an initiator could cure' },
];

const statusVerdicts: Readonly<Record<number, number>> = {
  [ScsiStatus.good]: Verdict.success,
  [ScsiStatus.conditionMet]: Verdict.success,
  [ScsiStatus.busy]: Verdict.retryLater,
  [ScsiStatus.taskSetFull]: Verdict.retryLater,
  [ScsiStatus.taskAborted]: Verdict.retryNow,
};

/** `writes`: the task changes blocks. `sense` is filled in when there is CHECK CONDITION. */
export function judgeTask(
  tasks: TaskTable,
  task: number,
  writes: boolean,
  sense: SenseData,
): number {
  const outcome = tasks.outcome[task];
  if (outcome === TaskOutcome.sessionClosed) return shuttingDown;
  if (outcome !== TaskOutcome.answered) return ioError;
  const status = tasks.scsiStatus[task];
  if (status === ScsiStatus.good) return Verdict.success;
  if (status !== ScsiStatus.checkCondition) return statusVerdicts[status] ?? ioError;
  const start = task * senseCapacity;
  if (!parseSense(tasks.sense, start, tasks.senseLength[task], sense)) return ioError;
  return judgeSense(sense, writes);
}

export function judgeSense(sense: SenseData, writes: boolean): number {
  // A deferred error is another command's: this one was not carried out (SPC-5 §4.4.7).
  if (sense.deferred) return Verdict.retryNow;
  const rule = senseRules.find((candidate) => fits(candidate, sense));
  if (rule === undefined) return ioError;
  return writes ? (rule.whenWriting ?? rule.verdict) : rule.verdict;
}

function fits(rule: SenseRule, { key, code }: SenseData): boolean {
  return (
    (rule.key === undefined || rule.key === key) &&
    (rule.asc === undefined || rule.asc === code >> 8) &&
    (rule.codes === undefined || rule.codes.includes(code))
  );
}
