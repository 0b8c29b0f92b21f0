/** How far each block request has come, as columns by request slot. */
import { assert } from '../errors.ts';

/**
 * A request is idle until submitted, then moves data (or unmaps, zeroes, asks for status), then, when it must be on stable
 * storage and the commands did not see to that, synchronizes the cache. Each phase may be planned anew when the logical unit
 * refuses a command and there is another way.
 */
export const RequestPhase = { idle: 0, data: 1, synchronize: 2 } as const;
export type RequestPhase = (typeof RequestPhase)[keyof typeof RequestPhase];

/** Allowed: [from][to]. */
const transitions: readonly (readonly boolean[])[] = [
  [false, true, true],
  [true, true, true],
  [true, false, true],
];

/** What the tasks of a phase do. */
export const TaskKind = {
  read: 0,
  write: 1,
  zeroWrite: 2,
  writeSame: 3,
  unmap: 4,
  lbaStatus: 5,
  synchronize: 6,
} as const;
export type TaskKind = (typeof TaskKind)[keyof typeof TaskKind];

export class RequestProgress {
  readonly phase: Uint8Array;
  /** TaskKind of the present phase. */
  readonly kind: Uint8Array;
  /** Bytes from the start of the device: [position, end) has no task yet. */
  readonly position: Float64Array;
  readonly end: Float64Array;
  /** Tasks that have been submitted and have not ended. */
  readonly outstanding: Uint16Array;
  /** BlockError; the first one stays. */
  readonly error: Uint8Array;
  /** The phase is to be planned again once nothing is outstanding. */
  readonly replan: Uint8Array;
  /** Waits in the ring for a task slot or scratch memory. */
  readonly queued: Uint8Array;
  /** FUA bit in the WRITE commands. */
  readonly fua: Uint8Array;
  readonly synchronizeAfter: Uint8Array;
  /** ZeroMethod or TrimMethod in use. */
  readonly method: Uint8Array;
  /** On the session's clock. */
  readonly deadlineMs: Float64Array;

  constructor(capacity: number) {
    this.phase = new Uint8Array(capacity);
    this.kind = new Uint8Array(capacity);
    this.position = new Float64Array(capacity);
    this.end = new Float64Array(capacity);
    this.outstanding = new Uint16Array(capacity);
    this.error = new Uint8Array(capacity);
    this.replan = new Uint8Array(capacity);
    this.queued = new Uint8Array(capacity);
    this.fua = new Uint8Array(capacity);
    this.synchronizeAfter = new Uint8Array(capacity);
    this.method = new Uint8Array(capacity);
    this.deadlineMs = new Float64Array(capacity);
  }

  /** A request has been submitted; its deadline is the caller's to set (a number with a fraction as argument is allocated). */
  begin(request: number): void {
    assert(this.phase[request] === RequestPhase.idle, 'request submitted twice');
    this.error[request] = 0;
    this.replan[request] = 0;
    this.outstanding[request] = 0;
    this.clearPlan(request);
  }

  clearPlan(request: number): void {
    this.position[request] = 0;
    this.end[request] = 0;
    this.fua[request] = 0;
    this.synchronizeAfter[request] = 0;
    this.method[request] = 0;
  }

  enter(request: number, phase: RequestPhase): void {
    const from = this.phase[request];
    // Not by `assert`: it would build its message every time.
    if (!transitions[from][phase]) throw new Error(`request ${request}: phase ${from} to ${phase}`);
    this.phase[request] = phase;
  }

  /** There are tasks to be submitted in this phase. */
  hasMore(request: number): boolean {
    return (
      this.position[request] < this.end[request] &&
      this.error[request] === 0 &&
      this.replan[request] === 0
    );
  }
}
