/**
 * What is done about a command that does not end: ABORT TASK, then LOGICAL UNIT RESET, then the connection goes down
 * (RFC 7143 §11.5). Each step is bounded. The command's memory is not touched before one of them has ended it for sure.
 *
 *   idle --begin--> aborting --refused, or no answer--> resetting --refused, or no answer--> giveUp, idle
 *     ^                | function complete                  | function complete
 *     +----------------+------------------------------------+
 */
import { TaskManagementResponseCode } from './pdu/task-management.ts';

export interface TaskManagementPort {
  /** PDU slot of the request, or -1 when it cannot be sent now. */
  sendAbortTask(task: number): number;
  sendLogicalUnitReset(): number;
  /** The target will not touch the task's memory again. */
  onTaskAborted(task: number): void;
  /** The same for every task that is outstanding. */
  onLogicalUnitReset(): void;
  /** Nothing helps but a new connection. */
  giveUp(detail: string): void;
}

export interface TaskManagementTimeouts {
  readonly abortTimeoutMs: number;
  readonly resetTimeoutMs: number;
}

type State = 'idle' | 'aborting' | 'resetting';

const steps: Readonly<Record<State, readonly State[]>> = {
  idle: ['aborting'],
  aborting: ['resetting', 'idle'],
  resetting: ['idle'],
};

export class TaskManagement {
  readonly #port: TaskManagementPort;
  readonly #timeouts: TaskManagementTimeouts;
  #state: State = 'idle';
  /** The task that is being aborted; -1 once it has ended by itself. */
  #task = -1;
  /** Slot of the request that is outstanding; -1: it is still to be sent. */
  #pdu = -1;
  #sinceMs = 0;

  constructor(port: TaskManagementPort, timeouts: TaskManagementTimeouts) {
    this.#port = port;
    this.#timeouts = timeouts;
  }

  get idle(): boolean {
    return this.#state === 'idle';
  }

  /** While true no new command may be sent: the reset's effect on it would not be known. */
  get resetting(): boolean {
    return this.#state === 'resetting';
  }

  /** Starts with ABORT TASK. Only when idle: one function at a time. */
  begin(task: number, nowMs: number): void {
    this.#to('aborting', nowMs);
    this.#task = task;
    this.#pdu = this.#port.sendAbortTask(task);
  }

  /** The task's response has crossed the request. */
  onTaskEnded(task: number): void {
    if (this.#task !== task) return;
    this.#task = -1;
    if (this.#state === 'aborting' && this.#pdu === -1) this.#state = 'idle';
  }

  /** A response (or a Reject: any code but 0) to slot `pdu`. Late ones of an earlier step are ignored. */
  onResponse(pdu: number, response: number, nowMs: number): void {
    if (this.#state === 'idle' || pdu !== this.#pdu) return;
    const complete = response === TaskManagementResponseCode.functionComplete;
    if (this.#state === 'resetting') {
      if (!complete) {
        this.#giveUp(`LOGICAL UNIT RESET was answered with ${response}`);
        return;
      }
      this.reset();
      this.#port.onLogicalUnitReset();
      return;
    }
    const task = this.#task;
    if (task === -1 || complete) {
      this.reset();
      if (task !== -1) this.#port.onTaskAborted(task);
      return;
    }
    if (response === TaskManagementResponseCode.taskDoesNotExist) {
      // Its response would have come before this one: one of us has lost count, and a reset would only hurt other users.
      this.#giveUp('the target does not know a task that it has not answered');
      return;
    }
    this.#startReset(nowMs);
  }

  /** To be called regularly. */
  check(nowMs: number): void {
    if (this.#state === 'idle') return;
    if (this.#pdu === -1) {
      this.#pdu =
        this.#state === 'aborting'
          ? this.#port.sendAbortTask(this.#task)
          : this.#port.sendLogicalUnitReset();
    }
    const elapsedMs = nowMs - this.#sinceMs;
    if (this.#state === 'resetting') {
      if (elapsedMs >= this.#timeouts.resetTimeoutMs)
        this.#giveUp('no answer to LOGICAL UNIT RESET');
    } else if (elapsedMs >= this.#timeouts.abortTimeoutMs) {
      // A reset would hurt every other user of the logical unit: not when the task it is about has ended.
      if (this.#task === -1) this.#giveUp('no answer to ABORT TASK');
      else this.#startReset(nowMs);
    }
  }

  /** The connection is gone, and with it every question. */
  reset(): void {
    this.#state = 'idle';
    this.#task = -1;
    this.#pdu = -1;
  }

  #startReset(nowMs: number): void {
    this.#to('resetting', nowMs);
    this.#pdu = this.#port.sendLogicalUnitReset();
  }

  #giveUp(detail: string): void {
    this.reset();
    this.#port.giveUp(detail);
  }

  #to(next: State, nowMs: number): void {
    if (!steps[this.#state].includes(next)) {
      throw new Error(`task management: no step from ${this.#state} to ${next}`);
    }
    this.#state = next;
    this.#sinceMs = nowMs;
  }
}
