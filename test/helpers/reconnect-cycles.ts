/** One session that reconnects again and again in this process. */
import type { Lane } from '../../daemon/lane/lane.ts';
import type { SessionSpec } from '../../daemon/lane/messages.ts';
import { sessionTimeouts } from '../../daemon/lane/session-settings.ts';
import type { Session } from '../../src/iscsi/session.ts';
import { systemTimers, type Timers } from '../../src/timers.ts';
import { ownSession, readFirstBlock } from './own-lane.ts';

/** The system's clock, which a test may set forward: a connection that has been up for long may be lost without a pause. */
class AdvancingTimers implements Timers {
  #offsetMs = 0;

  now(): number {
    return systemTimers.now() + this.#offsetMs;
  }

  schedule(delayMs: number, callback: () => void): () => void {
    return systemTimers.schedule(delayMs, callback);
  }

  skip(milliseconds: number): void {
    this.#offsetMs += milliseconds;
  }
}

export class ReconnectingSession {
  readonly session: Session;
  readonly #timers = new AdvancingTimers();

  constructor(lane: Lane, spec: SessionSpec) {
    this.session = ownSession(lane, spec, {
      timers: this.#timers,
      timeouts: {
        ...sessionTimeouts({ ...spec, replacementTimeoutMs: Infinity }),
        nopIntervalMs: 0,
        commandTimeoutMs: 3_600_000,
      },
    });
  }

  /** Drops the connection and reads a block, which needs the next one; `times` times. */
  async reconnect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      // Longer than a connection must be up to count as healthy, so that the next one follows at once.
      this.#timers.skip(20_000);
      this.session.reconnect('by the test');
      await readFirstBlock(this.session);
    }
  }
}
