import { refusalNames } from './refusal.ts';

/**
 * What one connection has done, as indices into a Float64Array: plain numbers that may be read at any time, also through a
 * shared stats page.
 */
export const NbdCounter = {
  /** Requests accepted for the device, by command. */
  reads: 0,
  writes: 1,
  flushes: 2,
  trims: 3,
  caches: 4,
  writeZeroes: 5,
  blockStatuses: 6,
  /** Payload bytes of the above. */
  bytesRead: 7,
  bytesWritten: 8,
  /** Requests answered without the device because they were not acceptable. */
  refused: 9,
  /** Requests that the device has failed. */
  failed: 10,
  /** Receives completed: requests per receive tells how well the client batches. */
  receives: 11,
  /** Bytes moved within memory because a request did not fit the buffer where its first bytes landed. */
  bytesMoved: 12,
  /** Times that parsing stopped for want of a slot, a buffer or under a limit. */
  stalls: 13,
  /** Clients dropped because they broke the protocol or a limit (see ruleEnds). */
  dropped: 14,
} as const;

/** From here on: requests answered with an error, by Refusal. */
export const errorCounters = Object.keys(NbdCounter).length;

export const nbdCounterCount = errorCounters + refusalNames.length;

/** Requests answered with an error, by the name of the reason; reasons that were not met are left out. */
export function errorsByReason(counters: Float64Array): Record<string, number> {
  const errors: Record<string, number> = {};
  refusalNames.forEach((name, refusal) => {
    const count = counters[errorCounters + refusal];
    if (count > 0) errors[name] = count;
  });
  return errors;
}
