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
import { emptySense, parseSense } from '../scsi/sense.ts';
import { ScsiStatus } from '../scsi/status.ts';
import type { CommandWindow } from './command-window.ts';
import { SlotUse } from './connection-contract.ts';
import type { Connection } from './connection.ts';
import type { SessionParameters } from './login-contract.ts';
import { ScsiCommandFlag, TaskAttribute, writeScsiCommand } from './pdu/scsi-command.ts';
import { ScsiResponseCode } from './pdu/scsi-response.ts';
import type { ScsiResponse } from './pdu/scsi-response.ts';
import { QueueDepth } from './queue-depth.ts';
import { RetryDecision, decideRetry, isRepeatable, retryPauseMs } from './retry-policy.ts';
import type { SessionStatistics } from './session-options.ts';
import { TaskList } from './task-list.ts';
import { TaskQueues } from './task-queues.ts';
import { TaskOutcome, cdbLength, senseCapacity } from './task-table.ts';
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
  readonly #sent: TaskList;
  readonly #pdu: Int32Array;
  readonly #cmdSn: Uint32Array;
  readonly #sendNumber: Float64Array;
  readonly #sentAtMs: Float64Array;
  readonly #retries: Uint32Array;
  readonly #sense = emptySense();
  readonly #deliver = (): void => {
    this.#deliverEnded();
  };
  #connection: Connection | undefined;
  #closedWith: TaskOutcome | undefined;
  /** Data is not to wait for the gate. */
  #refusing = false;
  #taskOfPdu = new Int32Array(0);
  #maxImmediate = 0;
  #splitImmediate = false;
  #gate: Gate = Gate.shut;
  /** The time of the last sweep: good enough to date a command. */
  #coarseNowMs = 0;
  /** While a LOGICAL UNIT RESET is outstanding nothing is sent: its effect on a new command would not be known. */
  held = false;

  constructor(options: TaskDispatchOptions) {
    const { capacity } = options.tasks;
    this.#options = options;
    this.#tasks = options.tasks;
    this.#queues = new TaskQueues(options.tasks);
    this.#depth = new QueueDepth(options.queueDepth);
    this.#sent = new TaskList(capacity);
    this.#pdu = new Int32Array(capacity).fill(-1);
    this.#cmdSn = new Uint32Array(capacity);
    this.#sendNumber = new Float64Array(capacity);
    this.#sentAtMs = new Float64Array(capacity);
    this.#retries = new Uint32Array(capacity);
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
    this.#coarseNowMs = this.#options.now();
    this.#taskOfPdu = new Int32Array(pdus.capacity).fill(-1);
    this.#splitImmediate = capabilities.splitImmediateData;
    this.#maxImmediate = parameters.immediateData
      ? Math.min(
          parameters.firstBurstLength,
          parameters.maxSendDataSegmentLength,
          capabilities.maxImmediateDataLength,
        )
      : 0;
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
      this.#pdu[task] = -1;
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
    return this.#pdu[task];
  }

  /** CmdSN of an outstanding task. */
  cmdSnOf(task: number): number {
    return this.#cmdSn[task];
  }

  onScsiResponse(pdu: number, response: ScsiResponse): void {
    const task = this.#taskOfPdu[pdu];
    assert(task !== -1, 'a command slot has a task');
    const placed = this.#placed(task, pdu, response);
    this.#leave(task);
    if (response.response !== ScsiResponseCode.commandCompletedAtTarget) {
      this.#finish(task, TaskOutcome.rejected);
      this.pump();
      return;
    }
    this.#storeAnswer(task, response, placed);
    const decision =
      response.status === ScsiStatus.good
        ? RetryDecision.deliver
        : decideRetry(response.status, this.#sense);
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
    let count = 0;
    for (let task = this.#sent.first; task !== -1; task = this.#sent.next(task)) {
      if (this.#sendNumber[task] > sendNumber) break;
      this.#sentAtMs[task] = -Infinity;
      count++;
    }
    return count;
  }

  /** The target refused the command's PDU (RFC 7143 §11.17). */
  onRejected(pdu: number): void {
    const task = this.#taskOfPdu[pdu];
    assert(task !== -1, 'a command slot has a task');
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

  /**
   * To be called regularly: ends waiting tasks that are late, wakes delayed ones. Returns the first outstanding task that has had its
   * time, or -1: it is to be aborted.
   */
  sweep(nowMs: number): number {
    this.#coarseNowMs = nowMs;
    this.#queues.expire(nowMs);
    this.#queues.wake(nowMs);
    this.#deliverEnded();
    this.pump();
    return this.#firstOverdue(nowMs);
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
    const { arena, window, lun, statistics } = this.#options;
    const { transport } = connection;
    const { pdus } = transport;
    const tasks = this.#tasks;
    const readLength = tasks.readLength[task];
    const writeLength = tasks.writeLength[task];
    pdus.readOffset[pdu] = tasks.readOffset[task];
    pdus.readLength[pdu] = readLength;
    pdus.writeOffset[pdu] = tasks.writeOffset[task];
    pdus.writeLength[pdu] = writeLength;
    pdus.dataSegmentOffset[pdu] = tasks.writeOffset[task];
    pdus.dataSegmentLength[pdu] = this.#immediateLength(writeLength);
    // F is set: the transport clears it when unsolicited Data-Out will follow.
    let flags = ScsiCommandFlag.final | TaskAttribute.simple;
    if (readLength > 0) flags |= ScsiCommandFlag.read;
    if (writeLength > 0) flags |= ScsiCommandFlag.write;
    const cmdSn = window.take();
    writeScsiCommand(
      arena.view,
      pdus.bhsOffset[pdu],
      flags,
      lun,
      pdus.itt(pdu),
      readLength + writeLength,
      cmdSn,
      window.expStatSn,
      tasks.cdbView,
      task * cdbLength,
    );
    this.#taskOfPdu[pdu] = task;
    this.#pdu[task] = pdu;
    this.#cmdSn[task] = cmdSn;
    this.#sentAtMs[task] = this.#coarseNowMs;
    this.#sendNumber[task] = this.#depth.onSent();
    this.#sent.append(task);
    statistics.commandsSent++;
    transport.queuePdu(pdu);
  }

  #immediateLength(writeLength: number): number {
    if (writeLength <= this.#maxImmediate) return writeLength;
    return this.#splitImmediate ? this.#maxImmediate : 0;
  }

  /** Valid bytes of read data: what the target says it sent, and never more than was really placed. */
  #placed(task: number, pdu: number, response: ScsiResponse): number {
    const readLength = this.#tasks.readLength[task];
    const placed = this.#connection?.transport.pdus.readPlaced[pdu] ?? 0;
    const residual = response.underflow ? Math.min(response.residualCount, readLength) : 0;
    return Math.min(readLength - residual, placed);
  }

  #storeAnswer(task: number, response: ScsiResponse, placed: number): void {
    const tasks = this.#tasks;
    tasks.scsiStatus[task] = response.status;
    tasks.readPlaced[task] = placed;
    tasks.residual[task] = response.underflow ? response.residualCount : 0;
    tasks.senseLength[task] = response.senseLength;
    if (response.status === ScsiStatus.good) return;
    const { bytes } = this.#options.arena;
    const at = task * senseCapacity;
    for (let i = 0; i < response.senseLength; i++) {
      tasks.sense[at + i] = bytes[response.senseOffset + i];
    }
    parseSense(tasks.sense, at, response.senseLength, this.#sense);
  }

  #retry(task: number, decision: RetryDecision): void {
    const { statistics, now, onUnitAttention, onPathUnusable } = this.#options;
    const retries = this.#retries[task]++;
    statistics.commandsRetried++;
    this.#queues.setAnswered(task);
    if (decision === RetryDecision.taskSetFull) {
      statistics.taskSetFull++;
      this.#depth.onTaskSetFull(this.#sendNumber[task], this.#sent.size + 1);
    }
    // When others are outstanding their end is the sign that a full task set has room; without any, only time is.
    const waitsForOthers = decision === RetryDecision.taskSetFull && this.#sent.size > 0;
    const pauseMs = waitsForOthers ? 0 : retryPauseMs(decision, retries);
    if (pauseMs === 0) this.#queues.putBack(task);
    else this.#queues.delay(task, now() + pauseMs);
    if (decision === RetryDecision.unitAttention) {
      statistics.unitAttentions++;
      onUnitAttention(this.#sense.code, this.#sendNumber[task]);
    } else if (decision === RetryDecision.otherPath) {
      onPathUnusable?.();
    }
  }

  #abandon(task: number): void {
    this.#leave(task);
    this.#connection?.countReplyless();
    const mayWait = !this.#options.failsFast && this.#coarseNowMs < this.#tasks.deadlineMs[task];
    const mayRepeat = isRepeatable(this.#tasks.cdb[task * cdbLength]);
    if (mayWait && mayRepeat) this.#queues.putBack(task);
    else this.#queues.end(task, TaskOutcome.deadlineExceeded);
  }

  /** The task is no longer at the target; its slot is free. */
  #leave(task: number): void {
    const pdu = this.#pdu[task];
    this.#sent.remove(task);
    this.#pdu[task] = -1;
    this.#taskOfPdu[pdu] = -1;
    this.#connection?.release(pdu);
    this.#options.onTaskLeft(task);
  }

  #finish(task: number, outcome: TaskOutcome): void {
    const tasks = this.#tasks;
    tasks.outcome[task] = outcome;
    this.#options.statistics.commandsDone++;
    tasks.owner[task]?.onTaskDone(task);
    this.#options.onTaskReported();
  }

  #firstOverdue(nowMs: number): number {
    for (let task = this.#sent.first; task !== -1; task = this.#sent.next(task)) {
      const own = this.#tasks.commandTimeoutMs[task];
      const timeoutMs = own === Infinity ? this.#options.commandTimeoutMs : own;
      if (this.#tasks.deadlineMs[task] <= nowMs || nowMs - this.#sentAtMs[task] >= timeoutMs) {
        return task;
      }
    }
    return -1;
  }
}
