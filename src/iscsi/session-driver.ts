/**
 * The life of a session as a state machine (session-state.ts): when to connect, log in, review, renew, and end. Tasks are
 * session-tasks.ts's, what is found out about a connection is session-review.ts's.
 */
import { CodedError, ConfigurationError, assert } from '../errors.ts';
import { ConnectionEnd } from '../transport/transport.ts';
import type { Portal, TransportCapabilities } from '../transport/transport.ts';
import { actionOf } from './async-events.ts';
import type { CommandWindow } from './command-window.ts';
import type { ConnectionEvents } from './connection-contract.ts';
import { ConnectionFactory } from './connection-factory.ts';
import type { Connection } from './connection.ts';
import { Connector } from './connector.ts';
import { IdentityChecks } from './identity-check.ts';
import type { LoginResult } from './login-contract.ts';
import type { LoginOutcome } from './login-exchange.ts';
import type { AsyncMessage } from './pdu/async-message.ts';
import { Recovery } from './recovery.ts';
import type { ConnectionClosure } from './recovery.ts';
import type { ScsiSession } from './scsi-session.ts';
import { LoginRefusedError, SessionLifetime } from './session-lifetime.ts';
import type {
  SessionEvent,
  SessionOptions,
  SessionStatistics,
  SessionTimeouts,
} from './session-options.ts';
import { SessionReview } from './session-review.ts';
import { SessionEnd, SessionState, sessionStateMachine } from './session-state.ts';
import type { SessionTasks } from './session-tasks.ts';
import { Gate } from './task-dispatch.ts';
import { TaskOutcome } from './task-table.ts';

const defaultMaxRedirects = 4;
const defaultMaxReplyless = 100;
/** How long outstanding commands may still end before a planned logout, when the target sets no limit itself. */
const quiesceMs = 5000;
/** A target may ask for 65535 s before the next login (RFC 7143 §11.9.1, §11.15.3); a device is not given up for so long. */
const longestTime2WaitMs = 60_000;

/** The target did not answer, or the way to it is gone. */
const silentEnds: ReadonlySet<ConnectionEnd> = new Set<ConnectionEnd>([
  ConnectionEnd.nopTimeout,
  ConnectionEnd.commandTimeout,
  ConnectionEnd.taskManagementTimeout,
  ConnectionEnd.unreachable,
  ConnectionEnd.completionError,
  ConnectionEnd.deviceRemoved,
  ConnectionEnd.addressChanged,
]);

export interface SessionDriverOptions {
  readonly session: SessionOptions;
  readonly timeouts: SessionTimeouts;
  readonly window: CommandWindow;
  readonly tasks: SessionTasks;
  readonly statistics: SessionStatistics;
  /** What the identity check is given. */
  readonly facade: ScsiSession;
}

/** A logout and new login that is due when nothing is outstanding any more, at the latest at `untilMs`. */
interface Renewal {
  readonly end: ConnectionEnd;
  readonly detail: string;
  readonly untilMs: number;
}

export class SessionDriver {
  readonly #options: SessionDriverOptions;
  readonly #machine = sessionStateMachine();
  readonly #tasks: SessionTasks;
  readonly #recovery: Recovery;
  readonly #connector: Connector;
  readonly #lifetime = new SessionLifetime();
  readonly #connections: ConnectionFactory;
  #portal: Portal = { address: '', port: 0 };
  #connection: Connection | undefined;
  #login: LoginResult | undefined;
  #renewal: Renewal | undefined;
  readonly #review: SessionReview;
  #wasStarted = false;
  #time2WaitMs = 0;
  #cancelSweep: (() => void) | undefined;

  constructor(options: SessionDriverOptions) {
    const { session, timeouts, window, tasks } = options;
    const { portals, resolve, random, maxRedirects = defaultMaxRedirects } = session;
    this.#options = options;
    this.#tasks = tasks;
    this.#recovery = new Recovery({ portals, resolve, random, maxRedirects });
    this.#review = this.#makeReview();
    this.#connector = new Connector(this.#recovery, session.timers, {
      onDue: () => {
        this.#connect();
      },
      onPortal: (portal) => {
        this.#open(portal);
      },
      onNoPortal: (error) => {
        this.#onNoConnection(error);
      },
    });
    tasks.onPathUnusable = () => {
      this.#leavePortal('its path refuses commands');
    };
    tasks.onAccessStateChanged = () => {
      if (this.#machine.current === SessionState.up) this.#review.reviewPath();
    };
    tasks.onUnitChanged = (wasReset) => {
      this.#onUnitChanged(wasReset);
    };
    const { createTransport, arena, timers, isid, login, firstCmdSn = 1 } = session;
    const { textBuffer, queueDepth } = tasks;
    const own = { window, timeouts, textBuffer, queueDepth };
    this.#connections = new ConnectionFactory(
      { createTransport, arena, timers, isid, login, firstCmdSn, ...own },
      this.#makeConnectionEvents(),
    );
  }

  get state(): SessionState {
    return this.#machine.current;
  }

  get portal(): Portal {
    return this.#portal;
  }

  get login(): LoginResult | undefined {
    return this.#login;
  }

  get capabilities(): TransportCapabilities | undefined {
    return this.#connection?.transport.capabilities;
  }

  start(): Promise<void> {
    assert(
      this.#machine.current === SessionState.down && !this.#wasStarted,
      'session started twice',
    );
    this.#wasStarted = true;
    const started = this.#lifetime.begin(this.#now());
    this.#armSweep();
    this.#connect();
    return started;
  }

  close(): Promise<void> {
    const closed = this.#lifetime.whenClosed();
    this.#endFor(SessionEnd.requested);
    return closed;
  }

  reconnect(detail: string): void {
    const { current: state } = this.#machine;
    if (state !== SessionState.up && state !== SessionState.quiescing) return;
    this.#disconnect(ConnectionEnd.requested, detail);
  }

  /** Has the logical unit checked as after a reconnect; a session that is not up does that anyway when it is up again. */
  inspect(): void {
    this.#onUnitChanged(false);
  }

  /** Ends the session: its logical unit is not to be used any more. */
  abandon(): void {
    this.#endFor(SessionEnd.identityChanged);
  }

  #now(): number {
    return this.#options.session.timers.now();
  }

  #makeConnectionEvents(): ConnectionEvents {
    const tasks = this.#tasks;
    return {
      onLoginStarted: () => {
        this.#to(SessionState.login);
      },
      onLoginEnded: (outcome) => {
        this.#onLoginEnded(outcome);
      },
      onScsiResponse: (pdu, response) => {
        tasks.onScsiResponse(pdu, response);
        if (this.#renewal !== undefined && tasks.outstanding === 0) this.#renew();
      },
      onTaskManagementResponse: (pdu, response) => {
        tasks.onTaskManagementResponse(pdu, response);
      },
      onTextResponse: () => {
        assert(false, 'this session sends no text requests');
      },
      onAsyncMessage: (message) => {
        this.#onAsyncMessage(message);
      },
      onReject: (pdu, use, reject) => {
        tasks.onReject(pdu, use, reject);
      },
      onWritable: () => {
        tasks.pump();
      },
      onConnectionClosed: (end, detail, time2Wait) => {
        this.#onConnectionClosed(end, detail, time2Wait * 1000);
      },
    };
  }

  #makeReview(): SessionReview {
    const { session, facade } = this.#options;
    const { onIdentityCheck } = session;
    const checks =
      onIdentityCheck === undefined ? undefined : new IdentityChecks(onIdentityCheck, facade);
    return new SessionReview(
      { recovery: this.#recovery, checks, facade },
      {
        onPath: (state, taken) => {
          this.#emit({ kind: 'path', portal: this.#portal, state, taken });
          if (!taken) this.#leavePortal(`its path is ${state}`);
        },
        onPassed: () => {
          this.#goUp();
        },
        onOtherUnit: () => {
          this.#endFor(SessionEnd.identityChanged);
        },
        onUnitUnknown: (message) => {
          this.#emit({ kind: 'identity-check-failed', message });
          this.#disconnect(ConnectionEnd.internalError, `identity check: ${message}`);
        },
      },
    );
  }

  // Up.

  #connect(): void {
    this.#to(SessionState.resolving);
    this.#connector.find();
  }

  #open(portal: Portal): void {
    this.#portal = portal;
    let connection: Connection;
    try {
      connection = this.#connections.make();
    } catch (error) {
      this.#onNoConnection(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    this.#to(SessionState.connecting);
    this.#connection = connection;
    connection.open(portal);
  }

  #onNoConnection(error: Error): void {
    this.#lifetime.onFailure(error, error instanceof ConfigurationError);
    this.#emit({ kind: 'no-portal', message: error.message });
    this.#to(SessionState.down);
    this.#tasks.onNoConnection();
    const nowMs = this.#now();
    this.#goOn({ nowMs, heard: false, byUs: false, time2WaitMs: 0, silent: true });
  }

  #onLoginEnded(outcome: LoginOutcome): void {
    if (outcome.kind === 'complete') {
      this.#onLoggedIn(outcome.result);
      return;
    }
    // In both cases the connection closes by itself.
    if (outcome.kind === 'redirect') {
      const { address, port } = outcome;
      const followed = this.#recovery.redirect({ host: address, port });
      this.#emit({ kind: 'redirected', address, port, followed });
      return;
    }
    const { failure, statusClass, statusDetail, message, retryable } = outcome;
    const triesOtherWay = this.#connections.onLoginFailed(outcome);
    this.#options.statistics.loginFailures++;
    this.#lifetime.onFailure(
      new LoginRefusedError(failure, statusClass, statusDetail, message),
      !retryable && !triesOtherWay && !this.#recovery.hasChoice,
    );
    this.#emit({ kind: 'login-failed', portal: this.#portal, failure, message });
  }

  #onLoggedIn(result: LoginResult): void {
    const connection = this.#connection;
    assert(connection !== undefined, 'a login has a connection');
    const isFirst = this.#options.statistics.logins++ === 0;
    this.#login = result;
    this.#recovery.onLoggedIn(this.#now());
    this.#emit({ kind: 'logged-in', portal: this.#portal, tsih: result.tsih });
    this.#tasks.attach(connection, result.parameters);
    if (this.#lifetime.goal !== undefined) {
      this.#logout(ConnectionEnd.requested, 'the session is being closed');
    } else {
      this.#reviewConnection(isFirst);
    }
  }

  #reviewConnection(isFirstLogin: boolean): void {
    if (!this.#review.isDue(isFirstLogin)) {
      this.#goUp();
      return;
    }
    this.#to(SessionState.checking);
    this.#tasks.setGate(Gate.checks);
    this.#review.begin(isFirstLogin);
  }

  /** Logs out, so that nothing that was sent on this path can take effect later, and goes to another portal. */
  #leavePortal(why: string): void {
    const { current: state } = this.#machine;
    if (state !== SessionState.up && state !== SessionState.checking) return;
    const { address, port } = this.#portal;
    this.#lifetime.onFailure(new CodedError('PATH', `${address}:${port}: ${why}`), false);
    this.#recovery.avoidPortal();
    this.#planRenewal(ConnectionEnd.requested, `left: ${why}`, quiesceMs);
  }

  #goUp(): void {
    this.#to(SessionState.up);
    this.#lifetime.onUp();
    this.#tasks.setGate(Gate.open);
  }

  // While up.

  /** The logical unit says that it has changed, or been reset: what waits is held back until it has been looked at. */
  #onUnitChanged(wasReset: boolean): void {
    const { current: state } = this.#machine;
    if (state === SessionState.up && this.#review.watchesUnit) {
      this.#to(SessionState.checking);
      this.#tasks.setGate(Gate.checks);
      this.#review.reviewUnit();
    } else if (state === SessionState.checking && !wasReset) {
      // A reset is no news here: every new nexus begins with that.
      this.#review.noteUnitChange();
    }
  }

  #onAsyncMessage(message: AsyncMessage): void {
    const action = actionOf(message);
    this.#emit({ kind: 'async-message', event: message.event });
    const detail = `asynchronous event ${message.event}`;
    if (action.kind === 'unit-attention') {
      this.#tasks.onUnitAttention(action.code);
    } else if (action.kind === 'renew') {
      this.#planRenewal(ConnectionEnd.targetRequestedLogout, detail, action.withinMs);
    } else if (action.kind === 'drop') {
      this.#time2WaitMs = action.waitMs;
      this.#disconnect(ConnectionEnd.peerClosed, detail);
    }
  }

  #planRenewal(end: ConnectionEnd, detail: string, withinMs: number): void {
    const { current: state } = this.#machine;
    if (state === SessionState.checking) {
      this.#logout(end, detail);
    } else if (state === SessionState.up) {
      this.#to(SessionState.quiescing);
      this.#tasks.setGate(Gate.shut);
      this.#renewal = { end, detail, untilMs: this.#now() + withinMs };
      if (this.#tasks.outstanding === 0) this.#renew();
    }
  }

  #renew(): void {
    const renewal = this.#renewal;
    this.#renewal = undefined;
    if (renewal === undefined || this.#machine.current !== SessionState.quiescing) return;
    this.#logout(renewal.end, renewal.detail);
  }

  readonly #sweep = (): void => {
    const nowMs = this.#now();
    const connection = this.#connection;
    connection?.tick(nowMs);
    this.#tasks.sweep(nowMs);
    if (this.#renewal !== undefined && nowMs >= this.#renewal.untilMs) this.#renew();
    const maxReplyless = this.#options.session.maxReplyless ?? defaultMaxReplyless;
    if (connection !== undefined && connection.replyless >= maxReplyless) {
      this.#planRenewal(
        ConnectionEnd.requested,
        'receive credits of the target run out',
        quiesceMs,
      );
    }
    if (this.#lifetime.hasStartTimedOut(nowMs, this.#options.timeouts.startTimeoutMs)) {
      this.#endFor(SessionEnd.startTimeout);
    }
    if (this.#machine.current !== SessionState.closed) this.#armSweep();
  };

  #armSweep(): void {
    const { timers } = this.#options.session;
    this.#cancelSweep = timers.schedule(this.#options.timeouts.sweepIntervalMs, this.#sweep);
  }

  // Down.

  #logout(end: ConnectionEnd, detail: string): void {
    this.#to(SessionState.loggingOut);
    this.#tasks.setGate(Gate.shut);
    this.#connection?.logout(end, detail);
  }

  #disconnect(end: ConnectionEnd, detail: string): void {
    const { current: state } = this.#machine;
    if (this.#connection === undefined || state === SessionState.draining) return;
    this.#to(SessionState.draining);
    this.#connection.disconnect(end, detail);
  }

  #onConnectionClosed(end: ConnectionEnd, detail: string, time2WaitMs: number): void {
    const { current: state } = this.#machine;
    const connection = this.#connection;
    assert(connection !== undefined, 'a connection closes once');
    const { outstanding } = this.#tasks;
    const closure: ConnectionClosure = {
      nowMs: this.#now(),
      heard: connection.fullFeaturePdus > 0,
      byUs: state === SessionState.draining || state === SessionState.loggingOut,
      time2WaitMs: Math.min(longestTime2WaitMs, Math.max(time2WaitMs, this.#time2WaitMs)),
      silent: silentEnds.has(end),
    };
    this.#connection = undefined;
    this.#renewal = undefined;
    this.#time2WaitMs = 0;
    this.#to(SessionState.down);
    if (connection.wasLoggedIn && !closure.byUs) this.#options.statistics.connectionsLost++;
    if (!connection.wasLoggedIn && !closure.byUs && end !== ConnectionEnd.loginFailed) {
      const { address, port } = this.#portal;
      const message = `${address}:${port}: ${end}${detail === '' ? '' : `, ${detail}`}`;
      this.#lifetime.onFailure(new CodedError('NO_CONNECTION', message), false);
    }
    this.#emit({ kind: 'connection-closed', portal: this.#portal, end, detail, outstanding });
    this.#tasks.detach();
    // After a planned logout the next connection is on its way.
    if (state !== SessionState.loggingOut) this.#tasks.onNoConnection();
    this.#goOn(closure);
  }

  /** Plans the next attempt, unless the session is to end. */
  #goOn(closure: ConnectionClosure): void {
    const { goal } = this.#lifetime;
    if (goal !== undefined) {
      this.#finish(goal);
      return;
    }
    const { delayMs, afterLogin } = this.#connector.plan(closure);
    this.#emit({ kind: 'reconnecting', delayMs, failures: this.#recovery.failures, afterLogin });
  }

  /** The session is to end; the first reason counts. */
  #endFor(end: SessionEnd): void {
    const goal = this.#lifetime.endFor(end);
    switch (this.#machine.current) {
      case SessionState.down:
      case SessionState.closed:
        this.#finish(goal);
        break;
      case SessionState.resolving:
        this.#to(SessionState.down);
        this.#finish(goal);
        break;
      case SessionState.connecting:
        this.#disconnect(ConnectionEnd.requested, 'the session is being closed');
        break;
      case SessionState.checking:
      case SessionState.up:
      case SessionState.quiescing:
        this.#logout(ConnectionEnd.requested, 'the session is being closed');
        break;
      case SessionState.login:
        // A login that is cut half-way can block a target for everybody: it ends first, in bounded time.
        break;
      case SessionState.loggingOut:
      case SessionState.draining:
        break;
    }
  }

  #finish(end: SessionEnd): void {
    if (this.#machine.current !== SessionState.closed) {
      this.#connector.stop();
      this.#cancelSweep?.();
      this.#to(SessionState.closed);
      const changed = end === SessionEnd.identityChanged;
      this.#tasks.close(changed ? TaskOutcome.identityChanged : TaskOutcome.sessionClosed);
      this.#emit({ kind: 'closed', end });
    }
    this.#lifetime.onClosed(end);
  }

  #to(next: SessionState): void {
    const from = this.#machine.current;
    this.#machine.enter(next);
    if (next !== SessionState.up && next !== SessionState.checking) this.#review.callOff();
    this.#emit({ kind: 'state', from, to: next });
  }

  #emit(event: SessionEvent): void {
    this.#options.session.onEvent?.(event);
  }
}
