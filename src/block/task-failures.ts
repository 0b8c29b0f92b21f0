import { senseKeyWord, SenseKey } from '../scsi/sense.ts';
import { ScsiStatus, scsiStatusName } from '../scsi/status.ts';
import { TaskOutcome, type TaskTable } from '../iscsi/task-table.ts';

const outcomeWords: readonly (readonly [TaskOutcome, string])[] = [
  [TaskOutcome.deadlineExceeded, 'deadline-exceeded'],
  [TaskOutcome.sessionClosed, 'session-closed'],
  [TaskOutcome.rejected, 'rejected'],
  [TaskOutcome.identityChanged, 'identity-changed'],
];
const senseKeys = Object.values(SenseKey);
const statuses = Object.values(ScsiStatus);

/** Where the counters of sense keys and of other statuses begin. */
const senseBase = TaskOutcome.identityChanged + 1;
const statusBase = senseBase + 16;

/** SCSI commands that failed for good, by what failed them: a device that fails everything costs no memory. */
export class TaskFailures {
  readonly #outcomes = new Float64Array(statusBase + statuses.length + 1);

  /** `senseKey` is that of the task's sense data, if it has some. */
  count(tasks: TaskTable, task: number, senseKey: number): void {
    this.#outcomes[indexOf(tasks, task, senseKey)]++;
  }

  /** `medium-error`, `deadline-exceeded`, `reservation-conflict`: what has happened at all. */
  get byCause(): Record<string, number> {
    const causes: Record<string, number> = {};
    const take = (index: number, word: string): void => {
      if (this.#outcomes[index] > 0) causes[word] = this.#outcomes[index];
    };
    for (const [outcome, word] of outcomeWords) take(outcome, word);
    for (const key of senseKeys) take(senseBase + key, senseKeyWord(key));
    statuses.forEach((status, index) => {
      take(statusBase + index, scsiStatusName(status).toLowerCase().replaceAll(' ', '-'));
    });
    take(statusBase + statuses.length, 'unknown-status');
    return causes;
  }
}

function indexOf(tasks: TaskTable, task: number, senseKey: number): number {
  const outcome = tasks.outcome[task];
  if (outcome !== TaskOutcome.answered) return outcome;
  const status = tasks.scsiStatus[task];
  if (status === ScsiStatus.checkCondition) return senseBase + senseKey;
  const index = statuses.findIndex((known) => known === status);
  return statusBase + (index < 0 ? statuses.length : index);
}
