import type { BufferPool } from '../memory/buffer-pool.ts';
import type { Reactor } from '../reactor/reactor.ts';
import type { TransportEvents } from './transport.ts';

/** Runs `action` once after `delayMs`; the returned function cancels it. */
export type Schedule = (delayMs: number, action: () => void) => () => void;

/** What both datamovers are made from. */
export interface TransportOptions {
  readonly reactor: Reactor;
  /** Headers and receive buffers come from here, and go back before onClosed. */
  readonly pool: BufferPool;
  readonly events: TransportEvents;
  /** PDUs that may be outstanding, commands and all others together. */
  readonly pduCapacity: number;
  readonly schedule: Schedule;
  /** From `connect` to onConnected. */
  readonly connectTimeoutMs?: number;
}

/** Longer than a target's own login set-up, shorter than the ~64 s after which the RDMA connection manager gives up. */
export const defaultConnectTimeoutMs = 15_000;

/** MaxRecvDataSegmentLength before login has agreed on anything (RFC 7143 §13.12). */
export const loginDataSegmentLength = 8192;
