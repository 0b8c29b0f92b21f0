/** What a SCSI status means for the command that got it: the session repeats what is transient, the rest is the owner's. */

import { AdditionalSense, SenseKey, passingNotReady } from '../scsi/sense.ts';
import type { SenseData } from '../scsi/sense.ts';
import { ScsiStatus } from '../scsi/status.ts';

export const RetryDecision = {
  /** The owner gets the answer. */
  deliver: 0,
  /** Send it again as soon as the window allows. */
  again: 1,
  /** Send it again after a pause. */
  later: 2,
  /** The same, and fewer commands at once. */
  taskSetFull: 3,
  /** See to what the unit attention says, and send it again. */
  unitAttention: 4,
  /** The path is no good (SPC-5 §5.18): send it again through another portal, if there is one. */
  otherPath: 5,
} as const;
export type RetryDecision = (typeof RetryDecision)[keyof typeof RetryDecision];

/** NOT READY through this target port, but perhaps not through others. */
const pathNotReady: readonly number[] = [
  AdditionalSense.targetPortStandby,
  AdditionalSense.targetPortUnavailable,
];

/** `sense` counts only with CHECK CONDITION; cleared when there is none. */
export function decideRetry(status: number, sense: SenseData): RetryDecision {
  switch (status) {
    case ScsiStatus.busy:
    case ScsiStatus.acaActive:
      return RetryDecision.later;
    case ScsiStatus.taskSetFull:
      return RetryDecision.taskSetFull;
    case ScsiStatus.taskAborted:
      return RetryDecision.again;
    case ScsiStatus.checkCondition:
      return decideOnSense(sense);
    default:
      return RetryDecision.deliver;
  }
}

function decideOnSense(sense: SenseData): RetryDecision {
  if (sense.key === SenseKey.unitAttention) return RetryDecision.unitAttention;
  if (sense.key !== SenseKey.notReady) return RetryDecision.deliver;
  if (pathNotReady.includes(sense.code)) return RetryDecision.otherPath;
  return passingNotReady.includes(sense.code) ? RetryDecision.later : RetryDecision.deliver;
}

const firstPauseMs = 100;
const longestPauseMs = 4000;
/** Repetitions without a pause; a target that goes on must not be asked in a tight loop. */
const promptRetries = 8;

/** Milliseconds before repetition number `retries` (0 first). */
export function retryPauseMs(decision: RetryDecision, retries: number): number {
  const prompt = decision === RetryDecision.again || decision === RetryDecision.unitAttention;
  if (prompt && retries < promptRetries) return 0;
  const doublings = Math.min(prompt ? retries - promptRetries : retries, 6);
  return Math.min(longestPauseMs, firstPauseMs * 2 ** doublings);
}

const persistentReserveOut = 0x5f;
const extendedCopy = 0x83;
const compareAndWrite = 0x89;

/**
 * Whether a command whose fate is unknown may be sent again: not when a second execution means something else than the
 * first. Block reads, writes, UNMAP and WRITE SAME may.
 */
export function isRepeatable(operationCode: number): boolean {
  return (
    operationCode !== persistentReserveOut &&
    operationCode !== extendedCopy &&
    operationCode !== compareAndWrite
  );
}
