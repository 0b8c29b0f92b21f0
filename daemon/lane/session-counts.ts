/** What a session has met, as numbers: the events of its life by reason, and the counters of its NBD clients by name. */
import type {
  SessionEvent,
  SessionStatistics as Commands,
} from '../../src/iscsi/session-options.ts';
import { errorsByReason, NbdCounter } from '../../src/nbd/counters.ts';
import type { NbdEnd } from '../../src/nbd/end.ts';
import { ConnectionEnd } from '../../src/transport/transport.ts';
import type { SessionStatistics } from './messages.ts';

type Counted = Omit<
  SessionStatistics,
  | 'session'
  | 'volume'
  | 'state'
  | 'transport'
  | 'portal'
  | 'clients'
  | 'inFlight'
  | 'commandFailures'
  | 'latencies'
>;

export class SessionCounts {
  readonly #connectionsLost: Record<string, number> = {};
  readonly #loginFailures: Record<string, number> = {};
  readonly #clientEnds: Record<string, number> = {};
  #loggedIn = false;

  onSessionEvent(event: SessionEvent): void {
    if (event.kind === 'logged-in') this.#loggedIn = true;
    else if (event.kind === 'login-failed') increment(this.#loginFailures, event.failure);
    else if (event.kind === 'no-portal') increment(this.#loginFailures, event.kind);
    else if (event.kind === 'connection-closed') this.#onConnectionClosed(event.end);
  }

  #onConnectionClosed(end: ConnectionEnd): void {
    const wasLoggedIn = this.#loggedIn;
    this.#loggedIn = false;
    if (end === ConnectionEnd.requested) return;
    if (wasLoggedIn) increment(this.#connectionsLost, end);
    // That has been counted with its cause.
    else if (end !== ConnectionEnd.loginFailed) increment(this.#loginFailures, end);
  }

  onClientEnd(end: NbdEnd): void {
    increment(this.#clientEnds, end);
  }

  /** `counters` are NbdCounter's. */
  statistics(counters: Float64Array, { logins, ...commands }: Readonly<Commands>): Counted {
    const others =
      counters[NbdCounter.flushes] +
      counters[NbdCounter.trims] +
      counters[NbdCounter.caches] +
      counters[NbdCounter.writeZeroes] +
      counters[NbdCounter.blockStatuses];
    return {
      reconnects: Math.max(0, logins - 1),
      reads: counters[NbdCounter.reads],
      writes: counters[NbdCounter.writes],
      flushes: counters[NbdCounter.flushes],
      trims: counters[NbdCounter.trims],
      writeZeroes: counters[NbdCounter.writeZeroes],
      caches: counters[NbdCounter.caches],
      blockStatuses: counters[NbdCounter.blockStatuses],
      others,
      bytesRead: counters[NbdCounter.bytesRead],
      bytesWritten: counters[NbdCounter.bytesWritten],
      errors: counters[NbdCounter.failed],
      refused: counters[NbdCounter.refused],
      errorsByReason: errorsByReason(counters),
      connectionsLost: { ...this.#connectionsLost },
      loginFailures: { ...this.#loginFailures },
      clientEnds: { ...this.#clientEnds },
      clientsDropped: counters[NbdCounter.dropped],
      stalls: counters[NbdCounter.stalls],
      bytesMoved: counters[NbdCounter.bytesMoved],
      commands: {
        sent: commands.commandsSent,
        done: commands.commandsDone,
        retried: commands.commandsRetried,
        requeued: commands.commandsRequeued,
        taskSetFull: commands.taskSetFull,
        unitAttentions: commands.unitAttentions,
        abortTasks: commands.abortTasks,
        logicalUnitResets: commands.logicalUnitResets,
        rejects: commands.rejects,
      },
    };
  }
}

function increment(counts: Record<string, number>, word: string): void {
  counts[word] = (counts[word] ?? 0) + 1;
}
