/**
 * Tasks on their way to the target and back, in submit order. A task is in exactly one place:
 *
 *   submitted --> queued --> sent --> ended --> owner
 *                  ^  ^       |
 *                  |  +-------+ connection lost, unit attention, ...
 *                  +-- delayed <-- BUSY, ...
 *
 * Nothing here allocates per task.
 */
import { assert } from '../errors.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import { ScsiStatus } from '../scsi/status.ts';
import { CommandCodec } from './command-codec.ts';
import type { CommandWindow } from './command-window.ts';
import { SlotUse } from './connection-contract.ts';
import type { Connection } from './connection.ts';
import type { SessionParameters } from './login-contract.ts';
import { ScsiResponseCode } from './pdu/scsi-response.ts';
import type { ScsiResponse } from './pdu/scsi-response.ts';
import { QueueDepth } from './queue-depth.ts';
import { RetryDecision, decideRetry, isRepeatable, retryPauseMs } from './retry-policy.ts';
import { SentTasks } from './sent-tasks.ts';
import type { SessionStatistics } from './session-options.ts';
import { TaskQueues } from './task-queues.ts';
import { TaskOutcome, cdbLength } from './task-table.ts';
import type { TaskTable } from './task-table.ts';

/** Which waiting tasks may be sent. */
export const Gate = {
  shut: 0,
  /** Only single commands submitted while it is like this: the identity of the logical unit is being checked. */
  checks: 1,
  open: 2,
} as const;
export type Gate = (typeof Gate)[keyof typeof Gate];

/** PDU slots that commands leave to pings, task management and logout. */
export const controlSlots = 8;

export interface TaskDispatchOptions {
  readonly arena: ArenaMemory;
  readonly tasks: TaskTable;
  readonly window: CommandWindow;
  readonly statistics: SessionStatistics;
  /** Result of encodeLun. */
  readonly lun: number;
  readonly queueDepth: number;
  /** For tasks that bring no limit of their own. */
  readonly commandTimeoutMs: number;
  /** Nothing is asked again after an abort, and `failWaiting` will be called. */
  readonly failsFast: boolean;
  readonly now: () => number;
  /** Runs it in a later turn. */
  readonly later: (callback: () => void) => void;
  /** A command has met a unit attention condition; see `suspectBefore` for its number. */
  readonly onUnitAttention: (code: number, sendNumber: number) => void;
  /** The target refuses commands on this path; undefined: there is no other one, and the command's owner is told. */
  readonly onPathUnusable: (() => void) | undefined;
  /** A task has left the target: it was answered, rejected or aborted. */
  readonly onTaskLeft: (task: number) => void;
  /** The owner of a task has been told of its end, and has perhaps freed the slot. */
  readonly onTaskReported: () => void;
}

export class TaskDispatch {
  readonly #options: TaskDispatchOptions;
  readonly #tasks: TaskTable;
  readonly #queues: TaskQueues;
  readonly #depth: QueueDepth;
  readonly #sent: SentTasks;
  readonly #codec: CommandCodec;
  readonly #retries: Uint32Array;
  readonly #deliver = (): void => {
    this.#deliverEnded();
  };
  #connection: Connection | undefined;
  #closedWith: TaskOutcome | undefined;
  /** Data is not to wait for the gate. */
  #refusing = false;
  #gate: Gate = Gate.shut;
  /** The time of the last sweep: good enough to date a command. In an array, for V8 allocates a fraction that is passed on. */
  readonly #coarseNowMs = new Float64Array(1);
  /** While a LOGICAL UNIT RESET is outstanding nothing is sent: its effect on a new command would not be known. */
  held = false;

  constructor(options: TaskDispatchOptions) {
    const { tasks, arena, lun } = options;
    this.#options = options;
    this.#tasks = tasks;
    this.#queues = new TaskQueues(tasks);
    this.#depth = new QueueDepth(options.queueDepth);
    this.#sent = new SentTasks(tasks, this.#coarseNowMs);
    this.#codec = new CommandCodec(arena, tasks, lun);
    this.#retries = new Uint32Array(tasks.capacity);
  }

  /** Commands that the target has. */
  get outstanding(): number {
    return this.#sent.size;
  }

  /** Commands that wait to be sent. */
  get waiting(): number {
    return this.#queues.waiting;
  }

  /** Commands that may be outstanding now. */
  get currentDepth(): number {
    return this.#depth.current;
  }

  /** A connection has logged in; nothing is sent before the gate is set. */
  attach(connection: Connection, parameters: SessionParameters): void {
    const { capabilities, pdus } = connection.transport;
    this.#connection = connection;
    this.#coarseNowMs[0] = this.#options.now();
    this.#sent.attach(pdus.capacity);
    this.#codec.attach(capabilities, parameters);
    this.#depth.reset();
  }

  /**
   * The connection is closed and no peer touches any memory: what was outstanding waits again, in submit order. What belongs to
   * an identity check ends, and so does what must not run twice.
   */
  detach(): void {
    this.#connection = undefined;
    this.#gate = Gate.shut;
    this.held = false;
    for (let task = this.#sent.last; task !== -1; task = this.#sent.last) {
      this.#sent.remove(task);
      if (isRepeatable(this.#tasks.cdb[task * cdbLength])) {
        this.#options.statistics.commandsRequeued++;
        this.#queues.putBack(task);
      } else {
        this.#queues.end(task, TaskOutcome.deadlineExceeded);
      }
    }
    this.#queues.endChecks(TaskOutcome.deadlineExceeded);
    this.#deliverEnded();
  }

  setGate(gate: Gate): void {
    this.#gate = gate;
    if (gate === Gate.open) this.#refusing = false;
    this.pump();
  }

  /** Data: it waits for the gate to open. */
  submit(task: number): void {
    if (this.#refusing && this.#closedWith === undefined) {
      this.#queues.end(task, TaskOutcome.deadlineExceeded);
      this.#options.later(this.#deliver);
      return;
    }
    this.#submit(task, false);
  }

  /** There is no connection: what waits ends now, and until the gate opens again so does what is submitted. */
  failWaiting(): void {
    this.#refusing = true;
    this.#queues.endAll(TaskOutcome.deadlineExceeded);
    this.#deliverEnded();
  }

  /** A single command: while the logical unit is being checked it belongs to the check. */
  submitControl(task: number): void {
    this.#submit(task, this.#gate === Gate.checks);
  }

  #submit(task: number, isCheck: boolean): void {
    if (this.#closedWith !== undefined) {
      this.#queues.end(task, this.#closedWith);
      // Its owner is not told from within its own call.
      this.#options.later(this.#deliver);
      return;
    }
    this.#retries[task] = 0;
    this.#queues.add(task, isCheck);
    this.pump();
  }

  /** Sends what may be sent now. */
  pump(): void {
    if (this.#gate === Gate.shut || this.held) return;
    let task = this.#queues.firstCheck;
    while (task !== -1 && this.#trySend(task)) task = this.#queues.firstCheck;
    if (this.#gate !== Gate.open) return;
    task = this.#queues.first;
    while (task !== -1 && this.#trySend(task)) task = this.#queues.first;
  }

  /** PDU slot of an outstanding task. */
  pduOf(task: number): number {
    return this.#sent.pduOf(task);
  }

  /** CmdSN of an outstanding task. */
  cmdSnOf(task: number): number {
    return this.#sent.cmdSnOf(task);
  }

  onScsiResponse(pdu: number, response: ScsiResponse): void {
    const task = this.#sent.taskOf(pdu);
    // Read before the slot is free.
    const placed = this.#connection?.transport.pdus.readPlaced[pdu] ?? 0;
    this.#leave(task);
    if (response.response !== ScsiResponseCode.commandCompletedAtTarget) {
      this.#finish(task, TaskOutcome.rejected);
      this.pump();
      return;
    }
    this.#codec.storeAnswer(task, response, placed);
    const decision =
      response.status === ScsiStatus.good
        ? RetryDecision.deliver
        : decideRetry(response.status, this.#codec.sense);
    const noOtherPath =
      decision === RetryDecision.otherPath && this.#options.onPathUnusable === undefined;
    if (decision === RetryDecision.deliver || noOtherPath) {
      this.#depth.onAnswered();
      this.#finish(task, TaskOutcome.answered);
    } else {
      this.#retry(task, decision);
    }
    this.pump();
  }

  /**
   * The target may have dropped what was sent before the command of this number, without a word: the next sweeps find it overdue, so
   * that it is aborted and asked again. Returns how many commands that concerns.
   */
  suspectBefore(sendNumber: number): number {
    return this.#sent.suspectBefore(sendNumber);
  }

  /** The target refused the command's PDU (RFC 7143 §11.17). */
  onRejected(pdu: number): void {
    const task = this.#sent.taskOf(pdu);
    this.#leave(task);
    this.#finish(task, TaskOutcome.rejected);
    this.pump();
  }

  /** The target has ended this outstanding task and will not answer it: it is asked again, or ends when it is late. */
  onAborted(task: number): void {
    this.#abandon(task);
    this.#deliverEnded();
    this.pump();
  }

  /** All outstanding tasks are ended so. */
  onAllAborted(): void {
    this.held = false;
    for (let task = this.#sent.last; task !== -1; task = this.#sent.last) this.#abandon(task);
    this.#deliverEnded();
    this.pump();
  }

  /** To be called regularly: ends waiting tasks that are late, wakes delayed ones. */
  sweep(nowMs: number): void {
    this.#coarseNowMs[0] = nowMs;
    this.#queues.expire(nowMs);
    this.#queues.wake(nowMs);
    this.#deliverEnded();
    this.pump();
  }

  /** The first outstanding task that has had its time, or -1: it is to be aborted. */
  firstOverdue(nowMs: number): number {
    return this.#sent.firstOverdue(nowMs, this.#options.commandTimeoutMs);
  }

  /** Ends every task, and every one submitted later. Outstanding ones have to be detached first. */
  close(outcome: TaskOutcome): void {
    assert(this.#sent.size === 0, 'tasks end before the target has let go of them');
    this.#closedWith = outcome;
    this.#queues.endAll(outcome);
    this.#deliverEnded();
  }

  /** Tells the owners of ended tasks. They may free, allocate and submit from within. */
  #deliverEnded(): void {
    for (let task = this.#queues.takeEnded(); task !== -1; task = this.#queues.takeEnded()) {
      this.#finish(task, this.#tasks.outcome[task] as TaskOutcome);
    }
  }

  #trySend(task: number): boolean {
    const connection = this.#connection;
    if (
      connection === undefined ||
      !this.#options.window.isOpen ||
      this.#sent.size >= this.#depth.current ||
      connection.transport.pdus.available <= controlSlots
    ) {
      return false;
    }
    const pdu = connection.claim(SlotUse.command);
    if (pdu === -1) return false;
    this.#queues.take(task);
    this.#send(connection, task, pdu);
    return true;
  }

  #send(connection: Connection, task: number, pdu: number): void {
    const { window, statistics } = this.#options;
    const { transport } = connection;
    const cmdSn = window.take();
    this.#codec.write(transport, task, pdu, cmdSn, window.expStatSn);
    this.#sent.add(task, pdu, cmdSn, this.#depth.onSent());
    statistics.commandsSent++;
    transport.queuePdu(pdu);
  }

  #retry(task: number, decision: RetryDecision): void {
    const { statistics, now, onUnitAttention, onPathUnusable } = this.#options;
    const retries = this.#retries[task]++;
    statistics.commandsRetried++;
    this.#queues.setAnswered(task);
    if (decision === RetryDecision.taskSetFull) {
      statistics.taskSetFull++;
      this.#depth.onTaskSetFull(this.#sent.sendNumberOf(task), this.#sent.size + 1);
    }
    // When others are outstanding their end is the sign that a full task set has room; without any, only time is.
    const waitsForOthers = decision === RetryDecision.taskSetFull && this.#sent.size > 0;
    const pauseMs = waitsForOthers ? 0 : retryPauseMs(decision, retries);
    if (pauseMs === 0) this.#queues.putBack(task);
    else this.#queues.delay(task, now() + pauseMs);
    if (decision === RetryDecision.unitAttention) {
      statistics.unitAttentions++;
      onUnitAttention(this.#codec.sense.code, this.#sent.sendNumberOf(task));
    } else if (decision === RetryDecision.otherPath) {
      onPathUnusable?.();
    }
  }

  #abandon(task: number): void {
    this.#leave(task);
    this.#connection?.countReplyless();
    const mayWait = !this.#options.failsFast && this.#coarseNowMs[0] < this.#tasks.deadlineMs[task];
    const mayRepeat = isRepeatable(this.#tasks.cdb[task * cdbLength]);
    if (mayWait && mayRepeat) this.#queues.putBack(task);
    else this.#queues.end(task, TaskOutcome.deadlineExceeded);
  }

  /** The task is no longer at the target; its slot is free. */
  #leave(task: number): void {
    this.#connection?.release(this.#sent.remove(task));
    this.#options.onTaskLeft(task);
  }

  #finish(task: number, outcome: TaskOutcome): void {
    const tasks = this.#tasks;
    tasks.outcome[task] = outcome;
    this.#options.statistics.commandsDone++;
    tasks.owner[task]?.onTaskDone(task);
    this.#options.onTaskReported();
  }
}
