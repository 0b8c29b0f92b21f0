/** One session that reconnects again and again in this process, and what the process has open meanwhile. */
import { readdirSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Lane } from '../../daemon/lane/lane.ts';
import {
  loginTemplate,
  sessionTimeouts,
  transportFactory,
} from '../../daemon/lane/session-settings.ts';
import type { SessionSpec } from '../../daemon/lane/messages.ts';
import { Session } from '../../src/iscsi/session.ts';
import { TaskOutcome } from '../../src/iscsi/task-table.ts';
import { putRead16 } from '../../src/scsi/cdb.ts';
import { systemTimers, type Timers } from '../../src/timers.ts';

const blockLength = 512;

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
    const { memory } = lane;
    this.session = new Session({
      createTransport: transportFactory(spec.transport, memory),
      arena: memory.reactor.arena,
      pool: memory.sessionPool,
      timers: this.#timers,
      random: Math.random,
      portals: spec.portals,
      resolve: (host) => Promise.resolve([host]),
      login: loginTemplate(spec),
      isid: spec.isid,
      lun: spec.lun,
      taskCapacity: 16,
      timeouts: { ...sessionTimeouts(spec), nopIntervalMs: 0, commandTimeoutMs: 3_600_000 },
    });
  }

  /** Drops the connection and reads a block, which needs the next one; `times` times. */
  async reconnect(times: number): Promise<void> {
    for (let i = 0; i < times; i++) {
      // Longer than a connection must be up to count as healthy, so that the next one follows at once.
      this.#timers.skip(20_000);
      this.session.reconnect('by the test');
      const cdb = new Uint8Array(16);
      putRead16(new DataView(cdb.buffer), 0, 0, 1);
      const { outcome, scsiStatus, data } = await this.session.execute(cdb, blockLength);
      if (outcome !== TaskOutcome.answered || scsiStatus !== 0 || data.length !== blockLength)
        throw new Error(`cycle ${i}: outcome ${outcome}, status ${scsiStatus}`);
    }
  }
}

export function openFds(): number {
  return readdirSync('/proc/self/fd').length;
}

/** Resident bytes of this process once V8 has collected what it can: an unused heap may be large for other reasons. */
export function residentBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  collect();
  return process.memoryUsage.rss();
}
