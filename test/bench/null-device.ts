import type { BlockDevice, BlockGeometry } from '../../src/block/device.ts';
import type { RequestTable } from '../../src/block/request-table.ts';
import type { Reactor } from '../../src/reactor/reactor.ts';
import { diskGeometry } from '../helpers/geometry.ts';

/** Positions at its end are no small integers to V8, as on any real volume. */
export const nullDeviceBytes = 2 ** 40;

/** Says yes to everything at the end of the batch and moves nothing: what remains is the cost of the NBD side. No garbage of its own. */
export class NullDevice implements BlockDevice {
  readonly requests: RequestTable;
  readonly geometry: BlockGeometry;
  readonly extents = { count: 0, length: new Float64Array(1), flags: new Uint32Array(1) };
  readonly #submitted: Int32Array;
  #count = 0;

  constructor(reactor: Reactor, requests: RequestTable, sizeBytes: number) {
    this.requests = requests;
    this.#submitted = new Int32Array(requests.capacity);
    this.geometry = diskGeometry(sizeBytes);
    reactor.addBatchEndListener(() => {
      // Completing one may submit others.
      while (this.#count > 0) this.requests.complete(this.#submitted[--this.#count], 0);
    });
  }

  submit(request: number): void {
    this.#submitted[this.#count++] = request;
  }
}
