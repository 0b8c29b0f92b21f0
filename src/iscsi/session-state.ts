/**
 * States of a session, and of the connection under it, as tables. An illegal step is a bug of ours and says which.
 *
 *                    +--------------------- connection lost ----------------------+
 *                    v                                                             |
 *   down --> resolving --> connecting --> login --> checking --> up --> quiescing -+-> loggingOut
 *    | ^                                                                               |
 *    | +--------------------------- draining <---- disconnect asked for ---------------+
 *    +--> closed
 *
 * checking: logged in again, or told of a change: the identity of the logical unit is not known, waiting tasks are held back.
 * quiescing: nothing new is sent, what is outstanding may finish. draining: waiting for the transport to let go of all memory.
 */
import { CheckedState, type TransitionTable } from '../checked-state.ts';

export const SessionState = {
  down: 'down',
  resolving: 'resolving',
  connecting: 'connecting',
  login: 'login',
  checking: 'checking',
  up: 'up',
  quiescing: 'quiescing',
  loggingOut: 'logging-out',
  draining: 'draining',
  closed: 'closed',
} as const;
export type SessionState = (typeof SessionState)[keyof typeof SessionState];

const sessionSteps: TransitionTable<SessionState> = {
  down: ['resolving', 'closed'],
  resolving: ['connecting', 'down'],
  connecting: ['login', 'draining', 'down'],
  login: ['checking', 'up', 'logging-out', 'draining', 'down'],
  checking: ['up', 'logging-out', 'draining', 'down'],
  up: ['checking', 'quiescing', 'logging-out', 'draining', 'down'],
  quiescing: ['logging-out', 'draining', 'down'],
  'logging-out': ['draining', 'down'],
  draining: ['down'],
  closed: [],
};

/** Connection states of an initiator (RFC 7143 §8.1.3), S1 to S8 without the target's S3 and without S7, which is the session's. */
export const ConnectionState = {
  free: 'free',
  transportWait: 'xpt-wait',
  inLogin: 'in-login',
  loggedIn: 'logged-in',
  inLogout: 'in-logout',
  cleanupWait: 'cleanup-wait',
} as const;
export type ConnectionState = (typeof ConnectionState)[keyof typeof ConnectionState];

const connectionSteps: TransitionTable<ConnectionState> = {
  free: ['xpt-wait'],
  'xpt-wait': ['in-login', 'cleanup-wait', 'free'],
  'in-login': ['logged-in', 'cleanup-wait', 'free'],
  'logged-in': ['in-logout', 'cleanup-wait', 'free'],
  'in-logout': ['cleanup-wait', 'free'],
  'cleanup-wait': ['free'],
};

export function sessionStateMachine(): CheckedState<SessionState> {
  return new CheckedState('session', sessionSteps, SessionState.down);
}

export function connectionStateMachine(): CheckedState<ConnectionState> {
  return new CheckedState('connection', connectionSteps, ConnectionState.free);
}

/** Why a session ended for good. Logs, metrics and tests share these words. */
export const SessionEnd = {
  requested: 'requested',
  loginRefused: 'login-refused',
  startTimeout: 'start-timeout',
  identityChanged: 'identity-changed',
} as const;
export type SessionEnd = (typeof SessionEnd)[keyof typeof SessionEnd];
