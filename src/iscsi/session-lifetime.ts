/** The two promises of a session, `start` and `close`, and why it is to end. */
import { CodedError } from '../errors.ts';
import { LoginFailure } from './login-status.ts';
import { SessionEnd } from './session-state.ts';

/** The target has refused a login. `code` is LOGIN_ and the failure's words. */
export class LoginRefusedError extends CodedError {
  readonly failure: LoginFailure;
  /** Status-Class and Status-Detail (RFC 7143 §11.13.5); 0 when the refusal was ours. */
  readonly statusClass: number;
  readonly statusDetail: number;

  constructor(failure: LoginFailure, statusClass: number, statusDetail: number, message: string) {
    super(`LOGIN_${failure.toUpperCase().replaceAll('-', '_')}`, message);
    this.failure = failure;
    this.statusClass = statusClass;
    this.statusDetail = statusDetail;
  }
}

/** Lost once, a verdict may have had another reason; after one of these it has not. */
const aboutAuthentication: ReadonlySet<LoginFailure | undefined> = new Set([
  LoginFailure.authenticationFailed,
  LoginFailure.authenticationUnanswered,
]);

function failureOf(error: Error | undefined): LoginFailure | undefined {
  return error instanceof LoginRefusedError ? error.failure : undefined;
}

interface Settlers {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class SessionLifetime {
  #starting: Settlers | undefined;
  #startedAtMs = 0;
  #lastFailure: Error | undefined;
  #goal: SessionEnd | undefined;
  readonly #closing: (() => void)[] = [];

  /** Between `begin` and the first time up. */
  get isStarting(): boolean {
    return this.#starting !== undefined;
  }

  /** Why the session is to end, once that is decided. */
  get goal(): SessionEnd | undefined {
    return this.#goal;
  }

  begin(nowMs: number): Promise<void> {
    this.#startedAtMs = nowMs;
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject };
    });
  }

  hasStartTimedOut(nowMs: number, startTimeoutMs: number): boolean {
    return this.isStarting && nowMs - this.#startedAtMs >= startTimeoutMs;
  }

  /** An attempt has failed. A failure that will not cure itself ends a session that was never up. */
  onFailure(error: Error, permanent: boolean): void {
    const before = this.#lastFailure;
    const unanswered = failureOf(error) === LoginFailure.authenticationUnanswered;
    const again = unanswered && aboutAuthentication.has(failureOf(before));
    // What the target has said tells more than a connection that is lost later.
    const saysLess = before instanceof LoginRefusedError && failureOf(error) === undefined;
    if (!saysLess) this.#lastFailure = error;
    if (this.isStarting && (permanent || again)) this.#goal ??= SessionEnd.loginRefused;
  }

  onUp(): void {
    this.#lastFailure = undefined;
    this.#starting?.resolve();
    this.#starting = undefined;
  }

  /** The first reason counts. */
  endFor(end: SessionEnd): SessionEnd {
    this.#goal ??= end;
    return this.#goal;
  }

  whenClosed(): Promise<void> {
    return new Promise((resolve) => {
      this.#closing.push(resolve);
    });
  }

  onClosed(end: SessionEnd): void {
    this.#starting?.reject(this.#startError(end));
    this.#starting = undefined;
    for (const resolve of this.#closing.splice(0)) resolve();
  }

  #startError(end: SessionEnd): Error {
    const cause = this.#lastFailure;
    if (end === SessionEnd.loginRefused && cause !== undefined) return cause;
    if (end === SessionEnd.startTimeout) {
      const why = cause === undefined ? '' : `: ${cause.message}`;
      return new CodedError('START_TIMEOUT', `no login in time${why}`, { cause });
    }
    return new CodedError('SESSION_CLOSED', 'the session was closed before it was up', { cause });
  }
}
