import { ProtocolError } from '../errors.ts';
import type { LoginFailure } from './login-status.ts';

/** Ends a login with a reason other than "the target broke the protocol". The engine turns it into a `fail` step. */
export class LoginError extends ProtocolError {
  readonly failure: LoginFailure;

  constructor(failure: LoginFailure, message: string) {
    super('LOGIN_FAILED', message);
    this.failure = failure;
  }
}
