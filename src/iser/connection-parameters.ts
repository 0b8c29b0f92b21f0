/**
 * What an initiator says while it connects: private data and parameters of the connection manager's request.
 */

/**
 * The iSER CM private data, 4 bytes: byte 0 flags, then reserved. The flags are negative. 0x80: zero-based virtual addresses are
 * not supported (we send real ones). 0x40: send with invalidate is not supported (keys of user-space memory regions cannot
 * be invalidated by the peer).
 */
export const privateData: Uint8Array = Uint8Array.of(0xc0, 0, 0, 0);

/** RDMA READs that the target may have outstanding towards us: it fetches write data that way. */
export function responderResources(maxQpReadAtomic: number): number {
  return Math.max(1, Math.min(maxQpReadAtomic, 16));
}

/** An iSER initiator issues no RDMA READs. */
export const initiatorDepth = 0;

/** Not 7: some devices take that for "for ever". */
export const retryCount = 6;

/** For the target's SENDs to us; 7 = for ever. */
export const rnrRetryCount = 7;
