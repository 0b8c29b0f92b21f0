/**
 * A block device as front ends see it. It knows neither NBD nor sockets, so that vhost-user-blk and ublk can become
 * further front ends.
 */
import type { RequestTable } from './request-table.ts';

export interface BlockGeometry {
  /** Bytes; a multiple of logicalBlockLength, below 2^53. */
  readonly sizeBytes: number;
  /** Offsets and lengths of reads and writes are multiples of it: 512 or 4096. */
  readonly logicalBlockLength: number;
  /** What the device does best with; >= logicalBlockLength, a power of two. */
  readonly preferredLength: number;
  readonly readOnly: boolean;
  readonly rotational: boolean;
  readonly canTrim: boolean;
  /** writeZeroes is done by the device, without sending zeroes. */
  readonly fastZeroes: boolean;
  /** blockStatus gives more than "allocated". */
  readonly knowsAllocation: boolean;
}

/** Extent flags of blockStatus: `base:allocation`'s bits. */
export const ExtentFlag = { hole: 1, zero: 2 } as const;

/** Extents of the blockStatus request that is being completed; valid during onRequestDone. */
export interface ExtentList {
  count: number;
  /** Bytes. */
  readonly length: Float64Array;
  readonly flags: Uint32Array;
}

export interface BlockDevice {
  readonly requests: RequestTable;
  readonly geometry: BlockGeometry;
  readonly extents: ExtentList;
  /**
   * Starts a request of `requests`. The front end has checked offset, length and alignment against `geometry`. The end comes by
   * `requests.complete`, in a later turn, in any order.
   */
  submit(request: number): void;
}
