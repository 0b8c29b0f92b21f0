/** The end of requests: never told from within `submit`, and for blockStatus with the right extents in place. */
import type { LogicalUnitProfile } from './profile.ts';
import { ExtentBuffer } from './extents.ts';
import { RequestRing } from './request-ring.ts';
import { BlockError, BlockFlag, BlockOperation, type RequestTable } from './request-table.ts';

/** What one blockStatus request may be told: as many as one GET LBA STATUS answer can hold, and one more. */
const extentCapacity = 64;

export class RequestEndings {
  readonly extents: ExtentBuffer = new ExtentBuffer(extentCapacity);
  readonly #requests: RequestTable;
  readonly #wake: () => void;
  /** Ended within submit, not yet told; how, is in #errors. */
  readonly #untold: RequestRing;
  readonly #errors: Uint8Array;
  #submitDepth = 0;
  #inFlight = 0;
  /** The request whose extents are in `extents`. */
  #extentsOf = -1;

  /** `wake` has `flush` called soon, in case no batch ends before. */
  constructor(requests: RequestTable, wake: () => void) {
    this.#requests = requests;
    this.#wake = wake;
    this.#untold = new RequestRing(requests.capacity);
    this.#errors = new Uint8Array(requests.capacity);
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  enterSubmit(): void {
    this.#submitDepth++;
    this.#inFlight++;
  }

  leaveSubmit(): void {
    this.#submitDepth--;
  }

  /** Takes a GET LBA STATUS answer of `length` bytes at `at`; the request is to end next. */
  takeExtents(
    request: number,
    view: DataView,
    at: number,
    length: number,
    profile: LogicalUnitProfile,
  ): void {
    const offset = this.#requests.offset[request];
    this.extents.fill(
      view,
      at,
      length,
      offset,
      offset + this.#requests.length[request],
      profile.logicalBlockLength,
      profile.provisioning.lbprz,
    );
    this.#extentsOf = request;
  }

  finish(request: number, error: BlockError): void {
    if (this.#submitDepth === 0) {
      this.#tell(request, error);
      return;
    }
    this.#errors[request] = error;
    if (this.#untold.length === 0) this.#wake();
    this.#untold.push(request);
  }

  flush(): void {
    while (this.#untold.length > 0) {
      const request = this.#untold.shift();
      this.#tell(request, this.#errors[request] as BlockError);
    }
  }

  #tell(request: number, error: BlockError): void {
    const requests = this.#requests;
    const { extents } = this;
    this.#inFlight--;
    if (requests.operation[request] === BlockOperation.blockStatus && error === BlockError.none) {
      if (this.#extentsOf !== request) extents.setAllocated(requests.length[request]);
      if ((requests.flags[request] & BlockFlag.requestOne) !== 0) extents.count = 1;
    }
    this.#extentsOf = -1;
    requests.complete(request, error);
  }
}
