/** What a ScsiBlockDevice is made of, and what it counts. */
import { TaskFailures } from './task-failures.ts';
import type { ScsiSession } from '../iscsi/scsi-session.ts';
import type { Timers } from '../timers.ts';
import type { BufferPool } from '../memory/buffer-pool.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import type { LogicalUnitProfile } from './profile.ts';
import type { RequestTable } from './request-table.ts';
import type { ZeroBuffer } from './scratch.ts';

export interface ScsiBlockDeviceOptions {
  readonly session: ScsiSession;
  readonly requests: RequestTable;
  readonly profile: LogicalUnitProfile;
  /** Serve a writable unit read-only. */
  readonly readOnly: boolean;
  readonly arena: ArenaMemory;
  readonly pool: BufferPool;
  readonly zeroes: ZeroBuffer;
  readonly timers: Timers;
  /** Of the transport, bytes. */
  readonly maxTransferLength: number;
  /** Tasks that one request may have outstanding. */
  readonly window: number;
  /** How long a request may take, reconnects included; negative: for ever. 0: the session ends its tasks when it is not up. */
  readonly replacementTimeoutMs: number;
  /** One attempt of READ or WRITE. */
  readonly commandTimeoutMs: number;
  /** One attempt of SYNCHRONIZE CACHE, UNMAP, WRITE SAME. */
  readonly slowCommandTimeoutMs: number;
}

export interface TranslatorStatistics {
  tasks: number;
  retries: number;
  /** Phases planned anew because the logical unit refused a command. */
  replans: number;
  /** Transfers that were answered GOOD, but were not complete. */
  shortTransfers: number;
  deferredErrors: number;
  readonly failures: TaskFailures;
}

export function emptyTranslatorStatistics(): TranslatorStatistics {
  const failures = new TaskFailures();
  return { tasks: 0, retries: 0, replans: 0, shortTransfers: 0, deferredErrors: 0, failures };
}
