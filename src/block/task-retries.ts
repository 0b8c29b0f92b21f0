/**
 * Tasks to be sent again. The session itself repeats what belongs to the I_T nexus and its queue; here is the rest. The task keeps its
 * slot and deadline; it is sent from `resubmit`, never from within onTaskDone.
 */
import { assert } from '../errors.ts';
import type { ScsiSession } from '../iscsi/scsi-session.ts';
import type { Timers } from '../timers.ts';

/** Repetitions without a pause; after these the answer is taken as final. */
const promptLimit = 8;
const firstPauseMs = 20;
const longestPauseMs = 1000;

export class TaskRetries {
  readonly #session: ScsiSession;
  readonly #timers: Timers;
  readonly #onTimer: () => void;
  /** By task slot. */
  readonly #attempts: Uint16Array;
  readonly #tasks: Int32Array;
  /** On the session's clock, by position in #tasks. */
  readonly #dueMs: Float64Array;
  #count = 0;
  #cancel: (() => void) | undefined;
  #timerDueMs = Infinity;

  /** `onTimer` is to call `resubmit`. */
  constructor(session: ScsiSession, timers: Timers, onTimer: () => void) {
    const { capacity } = session.tasks;
    this.#session = session;
    this.#timers = timers;
    this.#attempts = new Uint16Array(capacity);
    this.#tasks = new Int32Array(capacity);
    this.#dueMs = new Float64Array(capacity);
    this.#onTimer = () => {
      this.#cancel = undefined;
      this.#timerDueMs = Infinity;
      onTimer();
    };
  }

  get count(): number {
    return this.#count;
  }

  /** A task slot begins a new life. */
  start(task: number): void {
    this.#attempts[task] = 0;
  }

  /** Keeps the task for another attempt; false when its attempts are used up or its deadline would pass. */
  retry(task: number, afterPause: boolean): boolean {
    const attempts = this.#attempts[task];
    if (!afterPause && attempts >= promptLimit) return false;
    const pauseMs = afterPause
      ? Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(attempts, 10))
      : 0;
    const nowMs = this.#session.now();
    if (nowMs + pauseMs >= this.#session.tasks.deadlineMs[task]) return false;
    assert(this.#count < this.#tasks.length, 'retry list is full');
    this.#attempts[task] = Math.min(attempts + 1, 0xffff);
    this.#tasks[this.#count] = task;
    this.#dueMs[this.#count++] = nowMs + pauseMs;
    this.#arm(nowMs, nowMs + pauseMs);
    return true;
  }

  /** Sends what is due, in order of arrival; the rest stays. */
  resubmit(): void {
    const nowMs = this.#session.now();
    let nextDueMs = Infinity;
    for (let index = 0; index < this.#count;) {
      if (this.#dueMs[index] > nowMs) {
        nextDueMs = Math.min(nextDueMs, this.#dueMs[index++]);
        continue;
      }
      const task = this.#tasks[index];
      this.#tasks.copyWithin(index, index + 1, this.#count);
      this.#dueMs.copyWithin(index, index + 1, this.#count);
      this.#count--;
      this.#session.submitTask(task);
    }
    if (nextDueMs !== Infinity) this.#arm(nowMs, nextDueMs);
  }

  /** Takes any task off the list, due or not; -1 when there is none. */
  take(): number {
    return this.#count === 0 ? -1 : this.#tasks[--this.#count];
  }

  /** Has `onTimer` called soon, in case no batch ends before. */
  wake(): void {
    const nowMs = this.#session.now();
    this.#arm(nowMs, nowMs);
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #arm(nowMs: number, dueMs: number): void {
    if (dueMs >= this.#timerDueMs) return;
    this.#cancel?.();
    this.#timerDueMs = dueMs;
    this.#cancel = this.#timers.schedule(Math.max(0, dueMs - nowMs), this.#onTimer);
  }
}
