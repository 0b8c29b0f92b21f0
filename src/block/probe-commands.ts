/** Runs the commands of a probe: repeats what is transient, and tells "refused" from "broken". */
import { CodedError, ProtocolError } from '../errors.ts';
import type { ScsiSession } from '../iscsi/scsi-session.ts';
import { TaskOutcome } from '../iscsi/task-table.ts';
import { SenseKey, emptySense, formatSense, parseSense, type SenseData } from '../scsi/sense.ts';
import { ScsiStatus, scsiStatusName } from '../scsi/status.ts';
import { Verdict, judgeSense } from './verdict.ts';

/** Why a logical unit cannot be served. Logs, metrics and tests share these words. */
export const ProbeFailure = {
  noLogicalUnit: 'no-logical-unit',
  notADisk: 'not-a-disk',
  notReady: 'not-ready',
  reserved: 'reserved',
  commandFailed: 'probe-command-failed',
  sessionEnded: 'session-ended',
} as const;
export type ProbeFailure = (typeof ProbeFailure)[keyof typeof ProbeFailure];

export class ProbeError extends CodedError {
  readonly failure: ProbeFailure;

  constructor(failure: ProbeFailure, message: string) {
    super(failure, message);
    this.failure = failure;
  }
}

export interface ProbeOptions {
  /** Resolves after so many milliseconds. */
  readonly delay: (milliseconds: number) => Promise<void>;
  /** How often a logical unit that is busy or becoming ready is asked again. */
  readonly readyAttempts: number;
  readonly readyPauseMs: number;
}

/** Unit attentions in a row; each reset, LUN map or mode change may have left one (SAM-6 §5.14). */
const attentionAttempts = 16;

const outcomeNames: Readonly<Record<number, string>> = {
  [TaskOutcome.deadlineExceeded]: 'no answer within the deadline',
  [TaskOutcome.sessionClosed]: 'the session is closed',
  [TaskOutcome.rejected]: 'the target rejected the PDU',
  [TaskOutcome.identityChanged]: 'another logical unit answers',
};

export class ProbeCommands {
  /** What was wrong with optional answers, for the log. */
  readonly oddities: string[] = [];
  readonly #session: ScsiSession;
  readonly #options: ProbeOptions;
  readonly #sense: SenseData = emptySense();

  constructor(session: ScsiSession, options: ProbeOptions) {
    this.#session = session;
    this.#options = options;
  }

  /** The answer's data; throws ProbeError when the command fails. */
  async required(what: string, cdb: Uint8Array, readLength: number): Promise<Uint8Array> {
    const data = await this.#run(what, cdb, readLength);
    if (data !== undefined) return data;
    throw new ProbeError(ProbeFailure.commandFailed, `${what}: ${formatSense(this.#sense)}`);
  }

  /** undefined when the logical unit refuses the command (ILLEGAL REQUEST); other failures throw. */
  async optional(
    what: string,
    cdb: Uint8Array,
    readLength: number,
  ): Promise<Uint8Array | undefined> {
    const data = await this.#run(what, cdb, readLength);
    if (data !== undefined || this.#sense.key === SenseKey.illegalRequest) return data;
    throw new ProbeError(ProbeFailure.commandFailed, `${what}: ${formatSense(this.#sense)}`);
  }

  /** An optional answer, parsed; one that cannot be parsed counts as none and is noted. */
  async optionalParsed<T>(
    what: string,
    cdb: Uint8Array,
    readLength: number,
    parse: (data: Uint8Array) => T,
  ): Promise<T | undefined> {
    const data = await this.optional(what, cdb, readLength);
    if (data === undefined) return undefined;
    try {
      return parse(data);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.oddities.push(error.message);
      return undefined;
    }
  }

  /** ASC and ASCQ of the last refusal. */
  get refusalCode(): number {
    return this.#sense.code;
  }

  /** undefined: CHECK CONDITION that is not transient; the sense says which. */
  async #run(what: string, cdb: Uint8Array, readLength: number): Promise<Uint8Array | undefined> {
    let attentions = 0;
    let pauses = 0;
    for (;;) {
      const result = await this.#session.execute(cdb, readLength);
      if (result.outcome !== TaskOutcome.answered) {
        const reason = outcomeNames[result.outcome] ?? `outcome ${result.outcome}`;
        throw new ProbeError(ProbeFailure.sessionEnded, `${what}: ${reason}`);
      }
      const verdict = this.#judge(what, result.scsiStatus, result.sense);
      if (verdict === Verdict.success) return result.data;
      if (verdict === Verdict.retryNow && attentions++ < attentionAttempts) continue;
      if (verdict !== Verdict.retryLater) return undefined;
      if (pauses++ >= this.#options.readyAttempts) {
        const state =
          result.scsiStatus === ScsiStatus.checkCondition
            ? formatSense(this.#sense)
            : scsiStatusName(result.scsiStatus);
        throw new ProbeError(
          ProbeFailure.notReady,
          `${what}: still ${state} after ${pauses} attempts`,
        );
      }
      await this.#options.delay(this.#options.readyPauseMs);
    }
  }

  #judge(what: string, status: number, sense: Uint8Array): number {
    parseSense(sense, 0, sense.length, this.#sense);
    switch (status) {
      case ScsiStatus.good:
        return Verdict.success;
      case ScsiStatus.busy:
      case ScsiStatus.taskSetFull:
        return Verdict.retryLater;
      case ScsiStatus.taskAborted:
        return Verdict.retryNow;
      case ScsiStatus.checkCondition:
        return judgeSense(this.#sense, false);
      case ScsiStatus.reservationConflict:
        throw new ProbeError(
          ProbeFailure.reserved,
          `${what}: the logical unit is reserved for another initiator`,
        );
      default:
        throw new ProbeError(ProbeFailure.commandFailed, `${what}: ${scsiStatusName(status)}`);
    }
  }
}
