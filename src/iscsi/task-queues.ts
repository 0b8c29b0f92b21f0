/** Tasks that the target does not have: waiting in submit order, pausing before a repetition, or ended and not yet reported. */
import { assert } from '../errors.ts';
import { TaskList } from './task-list.ts';
import { TaskOutcome } from './task-table.ts';
import type { TaskTable } from './task-table.ts';

export class TaskQueues {
  readonly #tasks: TaskTable;
  readonly #queued: TaskList;
  /** Tasks of an identity check: they are sent while all others wait, and end with their connection. */
  readonly #checks: TaskList;
  readonly #delayed: TaskList;
  readonly #ended: TaskList;
  /** Submit order; a task keeps its number however often it is sent. */
  readonly #order: Float64Array;
  readonly #notBeforeMs: Float64Array;
  readonly #isCheck: Uint8Array;
  readonly #isAnswered: Uint8Array;
  #submitted = 0;

  constructor(tasks: TaskTable) {
    const { capacity } = tasks;
    this.#tasks = tasks;
    this.#queued = new TaskList(capacity);
    this.#checks = new TaskList(capacity);
    this.#delayed = new TaskList(capacity);
    this.#ended = new TaskList(capacity);
    this.#order = new Float64Array(capacity);
    this.#notBeforeMs = new Float64Array(capacity);
    this.#isCheck = new Uint8Array(capacity);
    this.#isAnswered = new Uint8Array(capacity);
  }

  /** Tasks that wait to be sent. */
  get waiting(): number {
    return this.#queued.size + this.#checks.size + this.#delayed.size;
  }

  /** First task to be sent, or -1. */
  get first(): number {
    return this.#queued.first;
  }

  get firstCheck(): number {
    return this.#checks.first;
  }

  add(task: number, isCheck: boolean): void {
    this.#order[task] = ++this.#submitted;
    this.#isCheck[task] = isCheck ? 1 : 0;
    this.#isAnswered[task] = 0;
    this.#listOf(task).append(task);
  }

  /** The task, which is the first of its list, goes out. */
  take(task: number): void {
    this.#isAnswered[task] = 0;
    this.#listOf(task).remove(task);
  }

  /** Back to its place in submit order. */
  putBack(task: number): void {
    this.#listOf(task).insert(task, this.#order);
  }

  /** Back to its place not before `notBeforeMs`. */
  delay(task: number, notBeforeMs: number): void {
    this.#notBeforeMs[task] = notBeforeMs;
    this.#delayed.append(task);
  }

  /** The target has answered, but the session asks again: should the task get too late meanwhile, this is its answer. */
  setAnswered(task: number): void {
    this.#isAnswered[task] = 1;
  }

  wake(nowMs: number): void {
    for (let task = this.#delayed.first, next = -1; task !== -1; task = next) {
      next = this.#delayed.next(task);
      if (this.#notBeforeMs[task] > nowMs) continue;
      this.#delayed.remove(task);
      this.putBack(task);
    }
  }

  /** Ends waiting tasks whose deadline has passed. */
  expire(nowMs: number): void {
    this.#expireIn(this.#queued, nowMs);
    this.#expireIn(this.#checks, nowMs);
    this.#expireIn(this.#delayed, nowMs);
  }

  /** The task, which is in no list, has ended; `takeEnded` will give it. */
  end(task: number, outcome: TaskOutcome): void {
    this.#tasks.outcome[task] = outcome;
    this.#ended.append(task);
  }

  endAll(outcome: TaskOutcome): void {
    this.#endWhere(this.#queued, outcome, false);
    this.#endWhere(this.#checks, outcome, false);
    this.#endWhere(this.#delayed, outcome, false);
  }

  /** The connection of an identity check is gone. */
  endChecks(outcome: TaskOutcome): void {
    this.#endWhere(this.#checks, outcome, true);
    this.#endWhere(this.#delayed, outcome, true);
  }

  /** An ended task, for its owner to be told; or -1. */
  takeEnded(): number {
    const task = this.#ended.first;
    if (task !== -1) this.#ended.remove(task);
    return task;
  }

  #listOf(task: number): TaskList {
    assert(task !== -1, 'a task');
    return this.#isCheck[task] === 1 ? this.#checks : this.#queued;
  }

  #endWhere(list: TaskList, outcome: TaskOutcome, checksOnly: boolean): void {
    for (let task = list.first, next = -1; task !== -1; task = next) {
      next = list.next(task);
      if (checksOnly && this.#isCheck[task] === 0) continue;
      list.remove(task);
      this.end(task, outcome);
    }
  }

  /** A late task that the target has answered ends with that answer: BUSY says more than "late". */
  #expireIn(list: TaskList, nowMs: number): void {
    for (let task = list.first, next = -1; task !== -1; task = next) {
      next = list.next(task);
      if (this.#tasks.deadlineMs[task] > nowMs) continue;
      list.remove(task);
      const answered = this.#isAnswered[task] === 1;
      this.end(task, answered ? TaskOutcome.answered : TaskOutcome.deadlineExceeded);
    }
  }
}
