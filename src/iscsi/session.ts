/**
 * An iSCSI session: it logs in, keeps the connection alive, sends tasks in submit order, and after any loss logs in again with the
 * same ISID and sends again what was not answered (session recovery, RFC 7143 §7.1.4, ErrorRecoveryLevel 0). Everything runs on
 * one thread; nothing on the way of a task allocates.
 */
import { assert } from '../errors.ts';
import type { Portal, TransportCapabilities } from '../transport/transport.ts';
import { CommandWindow } from './command-window.ts';
import type { LoginResult } from './login-contract.ts';
import type { ScsiResult, ScsiSession } from './scsi-session.ts';
import { SessionDriver } from './session-driver.ts';
import { defaultSessionTimeouts, emptySessionStatistics } from './session-options.ts';
import type { SessionOptions, SessionStatistics } from './session-options.ts';
import type { SessionState } from './session-state.ts';
import { SessionTasks } from './session-tasks.ts';
import type { TaskTable } from './task-table.ts';

/** Commands that the target has, that wait here, and that the target may have at once. */
export interface SessionLoad {
  readonly outstanding: number;
  readonly waiting: number;
  readonly depth: number;
}

export class Session implements ScsiSession {
  readonly statistics: SessionStatistics = emptySessionStatistics();
  readonly #options: SessionOptions;
  readonly #tasks: SessionTasks;
  readonly #driver: SessionDriver;

  /** Takes its memory from the pool at once; throws CodedError NO_BUFFER when there is none. */
  constructor(options: SessionOptions) {
    assert(options.portals.length > 0, 'a session needs a portal');
    const timeouts = { ...defaultSessionTimeouts, ...options.timeouts };
    const window = new CommandWindow();
    const { statistics } = this;
    this.#options = options;
    this.#tasks = new SessionTasks({ session: options, timeouts, window, statistics });
    this.#driver = new SessionDriver({
      session: options,
      timeouts,
      window,
      tasks: this.#tasks,
      statistics,
      facade: this,
    });
  }

  /** The first slots belong to `execute`; the others are for users. */
  get tasks(): TaskTable {
    return this.#tasks.table;
  }

  get state(): SessionState {
    return this.#driver.state;
  }

  /** Of the current or last connection attempt. */
  get portal(): Portal {
    return this.#driver.portal;
  }

  /** What the last login has agreed on. */
  get login(): LoginResult | undefined {
    return this.#driver.login;
  }

  /** Of the transport in use; undefined between connections. */
  get capabilities(): TransportCapabilities | undefined {
    return this.#driver.capabilities;
  }

  get load(): SessionLoad {
    const { outstanding, waiting, currentDepth } = this.#tasks;
    return { outstanding, waiting, depth: currentDepth };
  }

  now(): number {
    return this.#options.timers.now();
  }

  get coarseNowMs(): Float64Array {
    return this.#tasks.coarseNowMs;
  }

  /**
   * Logs in, and tries again what may succeed later. Rejects with LoginRefusedError when the target's refusal is permanent, with
   * ConfigurationError, or with CodedError START_TIMEOUT or SESSION_CLOSED; the session is closed then. Once it has resolved, every
   * failure is retried until `close`.
   */
  start(): Promise<void> {
    return this.#driver.start();
  }

  /** Ends the session: logout when there is a connection, then every task that is left ends with sessionClosed. Never rejects. */
  close(): Promise<void> {
    return this.#driver.close();
  }

  /**
   * Has the logical unit checked (`onIdentityCheck`) as after a reconnect, while everything else waits; without effect on a session
   * that is not up, which does so anyway before it is up again.
   */
  inspect(): void {
    this.#driver.inspect();
  }

  /** Ends the session because its logical unit must not be used any more: every task, now and later, ends with identityChanged. */
  abandon(): void {
    this.#driver.abandon();
  }

  /** Drops the connection and logs in again; without effect on a session that is not up. */
  reconnect(detail: string): void {
    this.#driver.reconnect(detail);
  }

  submitTask(task: number): void {
    this.#tasks.submit(task);
  }

  execute(cdb: Uint8Array, readLength: number, writeData?: Uint8Array): Promise<ScsiResult> {
    return this.#tasks.execute(cdb, readLength, writeData);
  }

  /** Once, like every waiter: who finds no slot adds itself again. */
  addTaskWaiter(waiter: () => void): void {
    this.#tasks.addTaskWaiter(waiter);
  }
}
