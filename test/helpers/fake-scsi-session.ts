/**
 * A ScsiSession without a connection: tasks wait until the test lets them run, in any order, against a RamLogicalUnit.
 * Time stands still until the test moves it.
 */
import type { ScsiResult, ScsiSession } from '../../src/iscsi/scsi-session.ts';
import { TaskOutcome, TaskTable, cdbLength, senseCapacity } from '../../src/iscsi/task-table.ts';
import type { Timers } from '../../src/timers.ts';
import type { RamLogicalUnit, ScsiAnswer } from './ram-logical-unit.ts';

export class ManualTimers implements Timers {
  #now = 1000;
  readonly #scheduled = new Set<{ readonly dueMs: number; readonly callback: () => void }>();

  now(): number {
    return this.#now;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const entry = { dueMs: this.#now + delayMs, callback };
    this.#scheduled.add(entry);
    return () => {
      this.#scheduled.delete(entry);
    };
  }

  get armed(): number {
    return this.#scheduled.size;
  }

  /** Moves the clock, and runs what has become due. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
    for (const entry of [...this.#scheduled]) {
      if (entry.dueMs > this.#now || !this.#scheduled.delete(entry)) continue;
      entry.callback();
    }
  }
}

export class FakeScsiSession implements ScsiSession {
  readonly tasks: TaskTable;
  readonly pending: number[] = [];
  /** Ends a task within submitTask: what a session must not do, but a translator should survive. */
  synchronous = false;
  outcome: TaskOutcome = TaskOutcome.answered;
  /** Bytes by which answers fall short; the residual says so. */
  shortBy = 0;
  readonly #unit: RamLogicalUnit;
  readonly #bytes: Uint8Array;
  readonly #timers: Timers;
  readonly #waiters: (() => void)[] = [];

  constructor(unit: RamLogicalUnit, bytes: Uint8Array, timers: Timers, taskCapacity: number) {
    this.#unit = unit;
    this.#bytes = bytes;
    this.#timers = timers;
    this.tasks = new TaskTable(taskCapacity);
  }

  now(): number {
    return this.#timers.now();
  }

  get coarseNowMs(): Float64Array {
    return Float64Array.of(this.#timers.now());
  }

  submitTask(task: number): void {
    if (this.synchronous) this.#run(task);
    else this.pending.push(task);
  }

  addTaskWaiter(waiter: () => void): void {
    if (!this.#waiters.includes(waiter)) this.#waiters.push(waiter);
  }

  /** Runs the pending task at this position. */
  runOne(index = 0): void {
    const [task] = this.pending.splice(index, 1);
    this.#run(task);
  }

  /** Runs pending tasks, and those that follow from them, until none is left. `pick` chooses the next one. */
  runAll(pick: (count: number) => number = () => 0): void {
    while (this.pending.length > 0) this.runOne(pick(this.pending.length));
  }

  #run(task: number): void {
    const { tasks } = this;
    tasks.outcome[task] = this.outcome;
    tasks.residual[task] = 0;
    tasks.readPlaced[task] = 0;
    tasks.senseLength[task] = 0;
    if (this.outcome === TaskOutcome.answered) this.#answer(task);
    tasks.owner[task]?.onTaskDone(task);
    this.callWaiters();
  }

  callWaiters(): void {
    while (this.#waiters.length > 0 && this.tasks.inUse < this.tasks.capacity) {
      this.#waiters.shift()?.();
    }
  }

  #answer(task: number): void {
    const { tasks } = this;
    const cdb = tasks.cdb.subarray(task * cdbLength, (task + 1) * cdbLength);
    const writeOffset = tasks.writeOffset[task];
    const written = this.#bytes.slice(writeOffset, writeOffset + tasks.writeLength[task]);
    const answer = this.#unit.execute(cdb, written);
    tasks.scsiStatus[task] = answer.status;
    tasks.sense.set(answer.sense, task * senseCapacity);
    tasks.senseLength[task] = answer.sense.length;
    const length = Math.min(answer.data.length, tasks.readLength[task]);
    const placed = Math.max(0, length - this.shortBy);
    this.#bytes.set(answer.data.subarray(0, placed), tasks.readOffset[task]);
    tasks.readPlaced[task] = placed;
    tasks.residual[task] =
      tasks.readLength[task] - placed + (tasks.writeLength[task] > 0 ? this.shortBy : 0);
  }

  execute(cdb: Uint8Array, readLength: number, writeData?: Uint8Array): Promise<ScsiResult> {
    const padded = new Uint8Array(cdbLength);
    padded.set(cdb);
    const answer: ScsiAnswer = this.#unit.execute(padded, writeData ?? new Uint8Array(0));
    return Promise.resolve({
      outcome: this.outcome,
      scsiStatus: answer.status,
      sense: answer.sense,
      data: answer.data.slice(0, readLength),
    });
  }
}
