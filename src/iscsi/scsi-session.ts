/** What block/ sees of an iSCSI session: a place to run SCSI commands on one logical unit. session.ts implements it. */
import type { TaskTable } from './task-table.ts';

export interface ScsiResult {
  /** TaskOutcome. */
  readonly outcome: number;
  readonly scsiStatus: number;
  readonly sense: Uint8Array;
  /** Valid read data, copied out. */
  readonly data: Uint8Array;
}

export interface ScsiSession {
  readonly tasks: TaskTable;
  /** Queues a task; it is sent when the connection is up and the command window allows it, in submit order. */
  submitTask(task: number): void;
  /**
   * Runs one command outside the data path (probing, management). Never rejects: the outcome says what happened.
   * `direction` null with length 0: no data.
   */
  execute(cdb: Uint8Array, readLength: number, writeData?: Uint8Array): Promise<ScsiResult>;
  /** Called when a task slot has become free after `tasks.allocate` returned -1. */
  addTaskWaiter(waiter: () => void): void;
  /** Milliseconds on the session's clock. */
  now(): number;
  /**
   * One number: that clock as it was at the session's last sweep, good enough for what may take minutes. In an array, because a
   * number with a fraction is allocated when a function returns it.
   */
  readonly coarseNowMs: Float64Array;
}
