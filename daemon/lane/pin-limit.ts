/** How much memory RDMA registrations of this process may pin (ib_umem_get counts pages per process against RLIMIT_MEMLOCK). */
import { readFileSync } from 'node:fs';
import { system } from '../system.ts';

/** Number of the capability CAP_IPC_LOCK in linux/capability.h: who has it is not limited. */
const ipcLock = 14n;

/** Bytes; Infinity: no limit. */
export function pinnableBytes(): number {
  const { soft } = system.memlockLimit();
  if (soft === Infinity) return soft;
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  const capabilities = BigInt(`0x${effective?.[1] ?? '0'}`);
  return ((capabilities >> ipcLock) & 1n) === 1n ? Infinity : soft;
}

export interface PinLimitOptions {
  /** What the configuration allows a lane. */
  readonly configuredBytes: number;
  readonly pinnableBytes: number;
  readonly lanes: number;
  /** Sessions on this lane, and what the connection of each pins for itself. */
  readonly sessions: number;
  readonly connectionBytes: number;
}

/** Whatever the limit, requests of this size can be served one at a time. */
const leastBytes = 2 ** 20;

/**
 * What the registrations of one lane may pin. A lane that could take all that the process may pin would starve the others: their
 * requests would wait for registrations that only the first one can give up.
 */
export function lanePinLimit(options: PinLimitOptions): number {
  const { configuredBytes, lanes, sessions, connectionBytes } = options;
  if (options.pinnableBytes === Infinity) return configuredBytes;
  const share = Math.floor(options.pinnableBytes / lanes) - sessions * connectionBytes;
  return Math.min(configuredBytes, Math.max(leastBytes, share));
}
