/** Extents of a blockStatus request: from GET LBA STATUS answers to `base:allocation` (proto.md: Metadata contexts). */
import {
  ProvisioningStatus,
  lbaStatusBlocks,
  lbaStatusCount,
  lbaStatusLba,
  lbaStatusProvisioning,
} from '../scsi/lba-status.ts';
import { ExtentFlag, type ExtentList } from './device.ts';

export class ExtentBuffer implements ExtentList {
  count = 0;
  readonly length: Float64Array;
  readonly flags: Uint32Array;

  constructor(capacity: number) {
    this.length = new Float64Array(capacity);
    this.flags = new Uint32Array(capacity);
  }

  /** One extent, about which nothing is promised: allocated data. */
  setAllocated(length: number): void {
    this.count = 1;
    this.length[0] = length;
    this.flags[0] = 0;
  }

  /**
   * Fills in what `answerLength` bytes of GET LBA STATUS data at `at` say about [position, end), in bytes; equal neighbours are
   * merged, everything is clipped to the range. Fewer bytes than the range may be covered. Descriptors that do not begin
   * where the last one ended are not believed, nor is anything after them; nothing believable: allocated.
   */
  fill(
    view: DataView,
    at: number,
    answerLength: number,
    position: number,
    end: number,
    blockLength: number,
    unmappedReadsZero: boolean,
  ): void {
    this.count = 0;
    const descriptors = lbaStatusCount(view, at, answerLength);
    let next = position;
    for (let index = 0; index < descriptors && next < end; index++) {
      const start = lbaStatusLba(view, at, index) * blockLength;
      const stop = Math.min(end, start + lbaStatusBlocks(view, at, index) * blockLength);
      if (start > next) break;
      if (stop <= next) continue;
      const flags = extentFlags(lbaStatusProvisioning(view, at, index), unmappedReadsZero);
      if (!this.#append(stop - next, flags)) break;
      next = stop;
    }
    if (this.count === 0) this.setAllocated(end - position);
  }

  /** False: no room for another extent. */
  #append(length: number, flags: number): boolean {
    const last = this.count - 1;
    if (last >= 0 && this.flags[last] === flags) {
      this.length[last] += length;
      return true;
    }
    if (this.count === this.length.length) return false;
    this.length[this.count] = length;
    this.flags[this.count++] = flags;
    return true;
  }
}

/** Anchored blocks have their space reserved: no hole, but they read like deallocated ones (SBC-4 §4.7.4.3). */
function extentFlags(provisioningStatus: number, unmappedReadsZero: boolean): number {
  const zero = unmappedReadsZero ? ExtentFlag.zero : 0;
  switch (provisioningStatus) {
    case ProvisioningStatus.deallocated:
      return ExtentFlag.hole | zero;
    case ProvisioningStatus.anchored:
      return zero;
    default:
      return 0;
  }
}
