/** Tasks that the target has, in the order in which they were sent: which PDU slot and CmdSN each went out with, and when. */
import { assert } from '../errors.ts';
import { TaskList } from './task-list.ts';
import type { TaskTable } from './task-table.ts';

export class SentTasks {
  readonly #tasks: TaskTable;
  readonly #coarseNowMs: Float64Array;
  readonly #list: TaskList;
  readonly #pdu: Int32Array;
  readonly #cmdSn: Uint32Array;
  readonly #sendNumber: Float64Array;
  readonly #sentAtMs: Float64Array;
  #taskOfPdu = new Int32Array(0);

  /** `coarseNowMs[0]`: the time, as exact as the caller keeps it. */
  constructor(tasks: TaskTable, coarseNowMs: Float64Array) {
    const { capacity } = tasks;
    this.#tasks = tasks;
    this.#coarseNowMs = coarseNowMs;
    this.#list = new TaskList(capacity);
    this.#pdu = new Int32Array(capacity).fill(-1);
    this.#cmdSn = new Uint32Array(capacity);
    this.#sendNumber = new Float64Array(capacity);
    this.#sentAtMs = new Float64Array(capacity);
  }

  get size(): number {
    return this.#list.size;
  }

  /** The task sent last, or -1. */
  get last(): number {
    return this.#list.last;
  }

  /** A new connection, with so many PDU slots. */
  attach(pduCapacity: number): void {
    assert(this.size === 0, 'nothing is outstanding on a new connection');
    this.#taskOfPdu = new Int32Array(pduCapacity).fill(-1);
  }

  add(task: number, pdu: number, cmdSn: number, sendNumber: number): void {
    this.#taskOfPdu[pdu] = task;
    this.#pdu[task] = pdu;
    this.#cmdSn[task] = cmdSn;
    this.#sendNumber[task] = sendNumber;
    this.#sentAtMs[task] = this.#coarseNowMs[0];
    this.#list.append(task);
  }

  /** The target has let go of it. Returns the PDU slot that it had. */
  remove(task: number): number {
    const pdu = this.#pdu[task];
    this.#list.remove(task);
    this.#pdu[task] = -1;
    this.#taskOfPdu[pdu] = -1;
    return pdu;
  }

  taskOf(pdu: number): number {
    const task = this.#taskOfPdu[pdu];
    assert(task !== -1, 'a command slot has a task');
    return task;
  }

  pduOf(task: number): number {
    return this.#pdu[task];
  }

  cmdSnOf(task: number): number {
    return this.#cmdSn[task];
  }

  /** Stays valid when the task has left, until it is sent again. */
  sendNumberOf(task: number): number {
    return this.#sendNumber[task];
  }

  /** Makes overdue what was sent before the command of this number. Returns how many commands that concerns. */
  suspectBefore(sendNumber: number): number {
    let count = 0;
    for (let task = this.#list.first; task !== -1; task = this.#list.next(task)) {
      if (this.#sendNumber[task] > sendNumber) break;
      this.#sentAtMs[task] = -Infinity;
      count++;
    }
    return count;
  }

  /** The first task that has had its time, or -1. `commandTimeoutMs`: for tasks that bring no limit of their own. */
  firstOverdue(nowMs: number, commandTimeoutMs: number): number {
    const { commandTimeoutMs: ownTimeoutMs, deadlineMs } = this.#tasks;
    for (let task = this.#list.first; task !== -1; task = this.#list.next(task)) {
      const own = ownTimeoutMs[task];
      const timeoutMs = own === Infinity ? commandTimeoutMs : own;
      if (deadlineMs[task] <= nowMs || nowMs - this.#sentAtMs[task] >= timeoutMs) return task;
    }
    return -1;
  }
}
