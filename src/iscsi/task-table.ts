import { assert } from '../errors.ts';

/**
 * SCSI tasks of one session as preallocated columns. A task outlives connections: after a reconnect it is sent again with a
 * new PDU. Whoever allocated it fills in the request columns, submits it, reads the result columns in `onTaskDone` and frees it.
 */
export const TaskOutcome = {
  /** The target answered: scsiStatus, sense and residual are valid. */
  answered: 0,
  /** No answer within the deadline, and the target can no longer touch the buffer. */
  deadlineExceeded: 1,
  /** The session is closed for good. */
  sessionClosed: 2,
  /** The target rejected the PDU (RFC 7143 §11.17). */
  rejected: 3,
  /** The logical unit behind the session is another one than before. */
  identityChanged: 4,
} as const;
export type TaskOutcome = (typeof TaskOutcome)[keyof typeof TaskOutcome];

export const senseCapacity = 252;
export const cdbLength = 16;

export interface TaskOwner {
  onTaskDone(task: number): void;
}

export class TaskTable {
  readonly capacity: number;
  /** 16 bytes per task; shorter CDBs are zero filled. */
  readonly cdb: Uint8Array;
  readonly cdbView: DataView;
  /** Arena range for data from the target. readLength 0 and writeLength 0: no data. Never both. */
  readonly readOffset: Uint32Array;
  readonly readLength: Uint32Array;
  readonly writeOffset: Uint32Array;
  readonly writeLength: Uint32Array;
  /** Absolute, on the session's clock (ms); after it the task ends with deadlineExceeded. Infinity: wait for ever. */
  readonly deadlineMs: Float64Array;
  /** Milliseconds that the target may take to answer one attempt before the task is aborted. */
  readonly commandTimeoutMs: Float64Array;
  /** Whoever submits may keep a number here (the block request). */
  readonly tag: Int32Array;
  readonly tag2: Int32Array;

  readonly outcome: Uint8Array;
  readonly scsiStatus: Uint8Array;
  /** Valid bytes of read data. */
  readonly readPlaced: Uint32Array;
  readonly residual: Uint32Array;
  readonly senseLength: Uint8Array;
  readonly sense: Uint8Array;
  readonly owner: (TaskOwner | undefined)[];
  readonly #free: Int32Array;
  #freeCount: number;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.cdb = new Uint8Array(capacity * cdbLength);
    this.cdbView = new DataView(this.cdb.buffer);
    this.readOffset = new Uint32Array(capacity);
    this.readLength = new Uint32Array(capacity);
    this.writeOffset = new Uint32Array(capacity);
    this.writeLength = new Uint32Array(capacity);
    this.deadlineMs = new Float64Array(capacity);
    this.commandTimeoutMs = new Float64Array(capacity);
    this.tag = new Int32Array(capacity);
    this.tag2 = new Int32Array(capacity);
    this.outcome = new Uint8Array(capacity);
    this.scsiStatus = new Uint8Array(capacity);
    this.readPlaced = new Uint32Array(capacity);
    this.residual = new Uint32Array(capacity);
    this.senseLength = new Uint8Array(capacity);
    this.sense = new Uint8Array(capacity * senseCapacity);
    this.owner = new Array<TaskOwner | undefined>(capacity).fill(undefined);
    this.#free = Int32Array.from({ length: capacity }, (_, i) => capacity - 1 - i);
    this.#freeCount = capacity;
  }

  get inUse(): number {
    return this.capacity - this.#freeCount;
  }

  /** A slot with a zeroed CDB, no data and no deadline; or -1. */
  allocate(owner: TaskOwner): number {
    if (this.#freeCount === 0) return -1;
    const task = this.#free[--this.#freeCount];
    this.owner[task] = owner;
    this.cdb.fill(0, task * cdbLength, (task + 1) * cdbLength);
    this.readLength[task] = 0;
    this.writeLength[task] = 0;
    this.deadlineMs[task] = Infinity;
    this.commandTimeoutMs[task] = Infinity;
    return task;
  }

  free(task: number): void {
    assert(this.owner[task] !== undefined, 'task freed twice');
    this.owner[task] = undefined;
    this.#free[this.#freeCount++] = task;
  }
}
