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

export const nbdCounterCount = Object.keys(NbdCounter).length;
