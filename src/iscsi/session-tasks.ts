/** Everything of a session that concerns its tasks, whatever connection there is: table, dispatch, supervision, single commands. */
import { CodedError } from '../errors.ts';
import { noBuffer } from '../memory/buffer-pool.ts';
import { AdditionalSense, formatSenseCode } from '../scsi/sense.ts';
import { AttentionResponse, attentionRule } from '../scsi/unit-attention.ts';
import { ConnectionEnd } from '../transport/transport.ts';
import type { CommandWindow } from './command-window.ts';
import { SlotUse } from './connection-contract.ts';
import type { Connection } from './connection.ts';
import { ControlCommands, controlBufferLength, controlTaskCount } from './control-commands.ts';
import type { SessionParameters } from './login-contract.ts';
import type { ArenaRange } from './login-exchange.ts';
import { encodeLun } from './lun.ts';
import { RejectReason } from './pdu/reject.ts';
import type { Reject } from './pdu/reject.ts';
import type { ScsiResponse } from './pdu/scsi-response.ts';
import type { ScsiResult } from './scsi-session.ts';
import type {
  SessionEvent,
  SessionOptions,
  SessionStatistics,
  SessionTimeouts,
} from './session-options.ts';
import { TaskDispatch } from './task-dispatch.ts';
import type { Gate } from './task-dispatch.ts';
import { TaskSupervisor } from './task-supervisor.ts';
import { TaskTable } from './task-table.ts';
import type { TaskOutcome } from './task-table.ts';

const defaultTaskCapacity = 256;
/** One login request's text: the data segment that every target takes before anything is agreed on (RFC 7143 §13.12). */
const loginTextLength = 8192;

export interface SessionTasksOptions {
  readonly session: SessionOptions;
  readonly timeouts: SessionTimeouts;
  readonly window: CommandWindow;
  readonly statistics: SessionStatistics;
}

export class SessionTasks {
  readonly table: TaskTable;
  readonly queueDepth: number;
  /** For login text. */
  readonly textBuffer: ArenaRange;
  /** See ScsiSession. */
  readonly coarseNowMs = new Float64Array(1);
  /** The target refuses commands on this path, or says that what paths are good for has changed. Set by who chooses paths. */
  onPathUnusable: () => void = () => undefined;
  onAccessStateChanged: () => void = () => undefined;
  /** The logical unit has to be looked at again: it has changed, or it (or the nexus) was reset. Set by who checks it. */
  onUnitChanged: (wasReset: boolean) => void = () => undefined;
  readonly #options: SessionTasksOptions;
  readonly #dispatch: TaskDispatch;
  readonly #supervisor: TaskSupervisor;
  readonly #commands: ControlCommands;
  readonly #buffer: number;
  readonly #waiters: (() => void)[] = [];
  #connection: Connection | undefined;

  /** Takes memory from the pool for the life of the session; throws CodedError NO_BUFFER when there is none. */
  constructor(options: SessionTasksOptions) {
    const { session, timeouts } = options;
    const { pool, timers } = session;
    const taskCapacity = session.taskCapacity ?? defaultTaskCapacity;
    this.#options = options;
    this.coarseNowMs[0] = timers.now();
    this.#buffer = pool.allocate(loginTextLength + controlTaskCount * controlBufferLength);
    if (this.#buffer === noBuffer) {
      throw new CodedError('NO_BUFFER', 'no memory for the buffers of a session');
    }
    this.textBuffer = { offset: this.#buffer, length: loginTextLength };
    this.table = new TaskTable(taskCapacity + controlTaskCount);
    this.queueDepth = Math.min(session.queueDepth ?? taskCapacity, this.table.capacity);
    const common = {
      arena: session.arena,
      tasks: this.table,
      window: options.window,
      statistics: options.statistics,
      lun: encodeLun(session.lun),
      now: () => timers.now(),
    };
    this.#dispatch = new TaskDispatch({
      ...common,
      queueDepth: this.queueDepth,
      commandTimeoutMs: timeouts.commandTimeoutMs,
      failsFast: timeouts.replacementTimeoutMs === 0,
      later: (callback) => {
        timers.schedule(0, callback);
      },
      onUnitAttention: (code, sendNumber) => {
        this.onUnitAttention(code, sendNumber);
      },
      onPathUnusable:
        session.portals.length > 1
          ? () => {
              this.onPathUnusable();
            }
          : undefined,
      onTaskLeft: (task) => {
        this.#supervisor.onTaskLeft(task);
      },
      onTaskReported: () => {
        this.#callTaskWaiters();
      },
    });
    this.#supervisor = new TaskSupervisor({
      ...common,
      dispatch: this.#dispatch,
      timeouts,
      emit: (event) => {
        this.#emit(event);
      },
    });
    this.#commands = new ControlCommands({
      arena: session.arena,
      pool,
      tasks: this.table,
      bufferOffset: this.#buffer + loginTextLength,
      submit: (task) => {
        this.#dispatch.submitControl(task);
      },
      deadline: () =>
        timers.now() + Math.max(timeouts.replacementTimeoutMs, timeouts.commandTimeoutMs),
    });
  }

  /** Commands that the target has. */
  get outstanding(): number {
    return this.#dispatch.outstanding;
  }

  /** Commands that wait to be sent. */
  get waiting(): number {
    return this.#dispatch.waiting;
  }

  /** Commands that may be outstanding now; less than `queueDepth` after TASK SET FULL. */
  get currentDepth(): number {
    return this.#dispatch.currentDepth;
  }

  attach(connection: Connection, parameters: SessionParameters): void {
    this.#connection = connection;
    this.#dispatch.attach(connection, parameters);
    this.#supervisor.attach(connection);
  }

  /** The connection is closed: what was outstanding waits again. */
  detach(): void {
    this.#connection = undefined;
    this.#supervisor.detach();
    this.#dispatch.detach();
  }

  /** With a replacement timeout of 0 nothing waits for a connection. */
  onNoConnection(): void {
    if (this.#options.timeouts.replacementTimeoutMs === 0) this.#dispatch.failWaiting();
  }

  setGate(gate: Gate): void {
    this.#dispatch.setGate(gate);
  }

  pump(): void {
    this.#dispatch.pump();
  }

  submit(task: number): void {
    this.#dispatch.submit(task);
  }

  execute(cdb: Uint8Array, readLength: number, writeData?: Uint8Array): Promise<ScsiResult> {
    return this.#commands.execute(cdb, readLength, writeData);
  }

  addTaskWaiter(waiter: () => void): void {
    if (!this.#waiters.includes(waiter)) this.#waiters.push(waiter);
  }

  /** To be called regularly. */
  sweep(nowMs: number): void {
    this.coarseNowMs[0] = nowMs;
    this.#supervisor.sweep(nowMs);
    this.#callTaskWaiters();
  }

  onScsiResponse(pdu: number, response: ScsiResponse): void {
    this.#dispatch.onScsiResponse(pdu, response);
  }

  onTaskManagementResponse(pdu: number, response: number): void {
    this.#supervisor.onResponse(pdu, response);
  }

  /** The target reports a unit attention condition, to the command of this number or (Infinity) to none. */
  onUnitAttention(code: number, sendNumber = Infinity): void {
    const { response, reason } = attentionRule(code);
    if (response === AttentionResponse.reset) {
      // Nobody is told: it is what every new nexus begins with.
      const suspects = this.#dispatch.suspectBefore(sendNumber);
      if (suspects > 0) this.#emit({ kind: 'tasks-suspect', count: suspects, reason });
      this.onUnitChanged(true);
      return;
    }
    this.#emit({ kind: 'unit-attention', code: formatSenseCode(code), response, reason });
    this.#options.session.onUnitAttention?.(code >> 8, code & 0xff);
    if (response === AttentionResponse.inspect) this.onUnitChanged(false);
    else if (code === AdditionalSense.asymmetricAccessStateChanged) this.onAccessStateChanged();
  }

  /** The target has refused the PDU in slot `pdu` (RFC 7143 §11.17). */
  onReject(pdu: number, use: SlotUse, reject: Reject): void {
    this.#options.statistics.rejects++;
    this.#emit({ kind: 'reject', reason: reject.reason, opcode: reject.rejectedOpcode });
    if (reject.reason === RejectReason.dataDigestError) {
      // The target waits for data that ErrorRecoveryLevel 0 does not send again: only a new session is sure.
      this.#connection?.disconnect(
        ConnectionEnd.dataDigestError,
        'the target saw a data digest error',
      );
    } else if (use === SlotUse.command) {
      this.#dispatch.onRejected(pdu);
    } else if (use === SlotUse.taskManagement) {
      this.#connection?.release(pdu);
      this.#supervisor.onRejected(pdu);
    }
  }

  /** Ends every task that is not outstanding, and every one submitted later. */
  close(outcome: TaskOutcome): void {
    this.#commands.close(outcome);
    this.#dispatch.close(outcome);
    this.#options.session.pool.release(this.#buffer);
  }

  #emit(event: SessionEvent): void {
    this.#options.session.onEvent?.(event);
  }

  #callTaskWaiters(): void {
    // A waiter that finds no slot adds itself again: it is not asked twice in one turn.
    for (let left = this.#waiters.length; left > 0; left--) {
      if (this.table.inUse === this.table.capacity) return;
      this.#waiters.shift()?.();
    }
  }
}
