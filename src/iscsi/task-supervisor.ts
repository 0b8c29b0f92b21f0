/** Watches over outstanding tasks: aborts what takes too long, and tells the dispatcher what the target has let go of. */
import type { ArenaMemory } from '../reactor/reactor.ts';
import { ConnectionEnd } from '../transport/transport.ts';
import { reservedTag } from '../wire/bhs.ts';
import type { CommandWindow } from './command-window.ts';
import { SlotUse } from './connection-contract.ts';
import type { Connection } from './connection.ts';
import {
  TaskManagementFunction,
  TaskManagementResponseCode,
  writeTaskManagementRequest,
} from './pdu/task-management.ts';
import type { SessionEvent, SessionStatistics } from './session-options.ts';
import type { TaskDispatch } from './task-dispatch.ts';
import { TaskManagement } from './task-management.ts';
import type { TaskManagementPort, TaskManagementTimeouts } from './task-management.ts';
import { cdbLength } from './task-table.ts';
import type { TaskTable } from './task-table.ts';

export interface TaskSupervisorOptions {
  readonly arena: ArenaMemory;
  readonly tasks: TaskTable;
  readonly window: CommandWindow;
  readonly dispatch: TaskDispatch;
  readonly statistics: SessionStatistics;
  readonly lun: number;
  readonly timeouts: TaskManagementTimeouts;
  readonly now: () => number;
  readonly emit: (event: SessionEvent) => void;
}

export class TaskSupervisor implements TaskManagementPort {
  readonly #options: TaskSupervisorOptions;
  readonly #functions: TaskManagement;
  #connection: Connection | undefined;

  constructor(options: TaskSupervisorOptions) {
    this.#options = options;
    this.#functions = new TaskManagement(this, options.timeouts);
  }

  attach(connection: Connection): void {
    this.#connection = connection;
  }

  detach(): void {
    this.#connection = undefined;
    this.#functions.reset();
  }

  /** To be called regularly. */
  sweep(nowMs: number): void {
    this.#functions.check(nowMs);
    this.#options.dispatch.sweep(nowMs);
    this.#abortNext(nowMs);
  }

  onTaskLeft(task: number): void {
    this.#functions.onTaskEnded(task);
  }

  onResponse(pdu: number, response: number): void {
    const nowMs = this.#options.now();
    this.#functions.onResponse(pdu, response, nowMs);
    this.#abortNext(nowMs);
  }

  /** The target has rejected the request in slot `pdu`, which is free again. */
  onRejected(pdu: number): void {
    this.onResponse(pdu, TaskManagementResponseCode.functionRejected);
  }

  sendAbortTask(task: number): number {
    const { dispatch } = this.#options;
    const tag = this.#connection?.transport.pdus.itt(dispatch.pduOf(task)) ?? reservedTag;
    const pdu = this.#send(TaskManagementFunction.abortTask, tag, dispatch.cmdSnOf(task));
    if (pdu !== -1) this.#options.statistics.abortTasks++;
    return pdu;
  }

  sendLogicalUnitReset(): number {
    const { dispatch, statistics, emit } = this.#options;
    dispatch.held = true;
    const pdu = this.#send(TaskManagementFunction.logicalUnitReset, reservedTag, 0);
    if (pdu !== -1) {
      statistics.logicalUnitResets++;
      emit({ kind: 'logical-unit-reset' });
    }
    return pdu;
  }

  onTaskAborted(task: number): void {
    this.#options.dispatch.onAborted(task);
  }

  onLogicalUnitReset(): void {
    this.#options.dispatch.onAllAborted();
  }

  giveUp(detail: string): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.disconnect(ConnectionEnd.taskManagementTimeout, detail);
  }

  /** One at a time, but one right after the other: a whole queue may be overdue. */
  #abortNext(nowMs: number): void {
    if (!this.#functions.idle || this.#connection === undefined) return;
    const { dispatch, tasks, emit } = this.#options;
    const overdue = dispatch.firstOverdue(nowMs);
    if (overdue === -1) return;
    emit({ kind: 'abort-task', operationCode: tasks.cdb[overdue * cdbLength] });
    this.#functions.begin(overdue, nowMs);
  }

  #send(taskFunction: TaskManagementFunction, referencedTag: number, refCmdSn: number): number {
    const connection = this.#connection;
    const pdu = connection?.claim(SlotUse.taskManagement) ?? -1;
    if (connection === undefined || pdu === -1) return -1;
    const { arena, window, lun } = this.#options;
    const { pdus } = connection.transport;
    writeTaskManagementRequest(
      arena.view,
      pdus.bhsOffset[pdu],
      taskFunction,
      lun,
      pdus.itt(pdu),
      referencedTag,
      window.cmdSn,
      window.expStatSn,
      refCmdSn,
    );
    connection.transport.queuePdu(pdu);
    return pdu;
  }
}
