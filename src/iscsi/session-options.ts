/** What a session is made from, what it tells, and what it counts. */
import type { BufferPool } from '../memory/buffer-pool.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import type { AttentionResponse } from '../scsi/unit-attention.ts';
import type { ConnectionEnd, Portal } from '../transport/transport.ts';
import type { ConnectionTimeouts, LoginTemplate, TransportFactory } from './connection-contract.ts';
import type { IdentityCheck } from './identity-check.ts';
import type { LoginFailure } from './login-status.ts';
import type { PortalAddress, Resolver } from './recovery.ts';
import type { SessionEnd, SessionState } from './session-state.ts';
import type { TaskManagementTimeouts } from './task-management.ts';
import type { Timers } from '../timers.ts';

export interface SessionTimeouts extends ConnectionTimeouts, TaskManagementTimeouts {
  /** For commands whose task names no limit: how long the target may take for one attempt. */
  readonly commandTimeoutMs: number;
  /**
   * How long `execute` waits for an answer, reconnects included; Infinity: for ever. 0: while the connection is lost every task ends
   * at once with deadlineExceeded, and an aborted one is not sent again.
   */
  readonly replacementTimeoutMs: number;
  /** How long `start` tries; Infinity: until `close`. */
  readonly startTimeoutMs: number;
  /** How often deadlines and silence are looked at: the granularity of every other time here. */
  readonly sweepIntervalMs: number;
}

/** A dead peer is noticed in less than 10 s: nopIntervalMs, nopTimeoutMs, twice sweepIntervalMs, and what a busy machine adds. */
export const defaultSessionTimeouts: SessionTimeouts = {
  loginTimeoutMs: 30_000,
  logoutTimeoutMs: 5000,
  nopIntervalMs: 3000,
  nopTimeoutMs: 5000,
  abortTimeoutMs: 10_000,
  resetTimeoutMs: 15_000,
  commandTimeoutMs: 60_000,
  replacementTimeoutMs: 120_000,
  startTimeoutMs: Infinity,
  sweepIntervalMs: 500,
};

/** Events of a session's life; none of them happens per I/O. */
export type SessionEvent =
  | { readonly kind: 'state'; readonly from: SessionState; readonly to: SessionState }
  | { readonly kind: 'logged-in'; readonly portal: Portal; readonly tsih: number }
  | {
      readonly kind: 'login-failed';
      readonly portal: Portal;
      readonly failure: LoginFailure;
      readonly message: string;
    }
  | {
      readonly kind: 'redirected';
      readonly address: string;
      readonly port: number;
      readonly followed: boolean;
    }
  | { readonly kind: 'no-portal'; readonly message: string }
  | {
      readonly kind: 'connection-closed';
      readonly portal: Portal;
      readonly end: ConnectionEnd;
      readonly detail: string;
      /** Commands that will be sent again. */
      readonly outstanding: number;
    }
  | {
      readonly kind: 'reconnecting';
      readonly delayMs: number;
      /** Attempts in a row that have failed. */
      readonly failures: number;
      /** Closed right after login without a word: a known race of targets, cured by logging in again, and no failure. */
      readonly afterLogin: boolean;
    }
  | {
      /** With several portals: what the path is good for, and whether it will be used. */
      readonly kind: 'path';
      readonly portal: Portal;
      readonly state: string;
      readonly taken: boolean;
    }
  | {
      readonly kind: 'unit-attention';
      /** ASC and ASCQ in hexadecimal: `2a/09`. */
      readonly code: string;
      readonly response: AttentionResponse;
      readonly reason: string;
    }
  | {
      /** So many outstanding commands may have been killed by a reset of somebody else: they are aborted and sent again. */
      readonly kind: 'tasks-suspect';
      readonly count: number;
      readonly reason: string;
    }
  | { readonly kind: 'async-message'; readonly event: number }
  | { readonly kind: 'reject'; readonly reason: number; readonly opcode: number }
  | { readonly kind: 'abort-task'; readonly operationCode: number }
  | { readonly kind: 'logical-unit-reset' }
  | { readonly kind: 'identity-check-failed'; readonly message: string }
  | { readonly kind: 'closed'; readonly end: SessionEnd };

export interface SessionOptions {
  readonly createTransport: TransportFactory;
  readonly arena: ArenaMemory;
  /** Memory for login text and for `execute`, taken at construction so that a reconnect never waits for memory. */
  readonly pool: BufferPool;
  readonly timers: Timers;
  /** Numbers in [0, 1), for the jitter of delays. */
  readonly random: () => number;
  /** At least one. */
  readonly portals: readonly PortalAddress[];
  readonly resolve: Resolver;
  readonly login: LoginTemplate;
  /** 6 bytes, for the life of the session: every login reinstates it, which ends its predecessor's commands. */
  readonly isid: Uint8Array;
  readonly lun: number;
  /** Tasks that users of the session may have; default 256. */
  readonly taskCapacity?: number;
  /** Commands that the target may have at once; default `taskCapacity`. The target's window bounds them too. */
  readonly queueDepth?: number;
  /** CmdSN of each login; default 1. */
  readonly firstCmdSn?: number;
  /** Redirects followed in a row; default 4. */
  readonly maxRedirects?: number;
  /** Requests without an answer after which the connection is renewed; default 100. Below 128, the receives of LIO. */
  readonly maxReplyless?: number;
  readonly timeouts?: Partial<SessionTimeouts>;
  readonly onEvent?: (event: SessionEvent) => void;
  /**
   * Called after every login but the first, and when the logical unit says that it has changed, before waiting tasks are sent: is it
   * still the same logical unit? (True as long as
   * nobody knows which one it should be: the first connection may be lost before anything was asked.) Commands that it
   * runs by `execute` go first and end when the connection does. False ends the session; a rejection means that it could
   * not be found out and asks for another login.
   */
  readonly onIdentityCheck?: IdentityCheck;
  /** A unit attention other than 29/xx, or a SCSI asynchronous event; the command that met it is repeated. */
  readonly onUnitAttention?: (asc: number, ascq: number) => void;
}

/** Plain counters, read by whoever reports them. */
export interface SessionStatistics {
  logins: number;
  loginFailures: number;
  /** Connections that ended after a login. */
  connectionsLost: number;
  commandsSent: number;
  commandsDone: number;
  /** Sent again because the target asked for it. */
  commandsRetried: number;
  /** Sent again because the connection was lost. */
  commandsRequeued: number;
  taskSetFull: number;
  unitAttentions: number;
  abortTasks: number;
  logicalUnitResets: number;
  rejects: number;
}

export function emptySessionStatistics(): SessionStatistics {
  return {
    logins: 0,
    loginFailures: 0,
    connectionsLost: 0,
    commandsSent: 0,
    commandsDone: 0,
    commandsRetried: 0,
    commandsRequeued: 0,
    taskSetFull: 0,
    unitAttentions: 0,
    abortTasks: 0,
    logicalUnitResets: 0,
    rejects: 0,
  };
}
