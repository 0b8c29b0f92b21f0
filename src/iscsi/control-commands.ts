/**
 * Single commands outside the data path. They own a few task slots and buffers of their own, so that probing and identity
 * checks work while every other slot and buffer waits for exactly that.
 */
import { assert } from '../errors.ts';
import { noBuffer } from '../memory/buffer-pool.ts';
import type { BufferPool, BufferWaiter } from '../memory/buffer-pool.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import type { ScsiResult } from './scsi-session.ts';
import { TaskOutcome, cdbLength, senseCapacity } from './task-table.ts';
import type { TaskOwner, TaskTable } from './task-table.ts';

/**
 * Task slots that a session adds to what its users asked for: one each for the probe, the identity check, the path and a look at the
 * capacity, of which the check must not wait for the others, because they wait for it.
 */
export const controlTaskCount = 4;
/** Bytes of the buffer that each of them owns; larger transfers borrow from the pool. */
export const controlBufferLength = 4096;

export interface ControlCommandsOptions {
  readonly arena: ArenaMemory;
  readonly pool: BufferPool;
  readonly tasks: TaskTable;
  /** Arena offset of controlTaskCount * controlBufferLength bytes. */
  readonly bufferOffset: number;
  readonly submit: (task: number) => void;
  /** Deadline of a command that starts now. */
  readonly deadline: () => number;
}

interface Command {
  readonly cdb: Uint8Array;
  readonly readLength: number;
  readonly writeData: Uint8Array | undefined;
  readonly deadlineMs: number;
  readonly resolve: (result: ScsiResult) => void;
}

interface Running {
  readonly command: Command;
  readonly offset: number;
  /** Pool buffer to give back, or noBuffer. */
  readonly borrowed: number;
}

const nothing = new Uint8Array(0);

export class ControlCommands implements TaskOwner, BufferWaiter {
  readonly #options: ControlCommandsOptions;
  readonly #idle: number[] = [];
  readonly #waiting: Command[] = [];
  readonly #running = new Map<number, Running>();
  readonly #firstTask: number;
  #waitsForBuffer = false;
  #closedWith: TaskOutcome | undefined;

  constructor(options: ControlCommandsOptions) {
    this.#options = options;
    for (let i = 0; i < controlTaskCount; i++) this.#idle.push(options.tasks.allocate(this));
    this.#firstTask = Math.min(...this.#idle);
  }

  execute(cdb: Uint8Array, readLength: number, writeData?: Uint8Array): Promise<ScsiResult> {
    const length = readLength + (writeData?.length ?? 0);
    assert(cdb.length <= cdbLength, 'a CDB has at most 16 bytes');
    assert(readLength === 0 || writeData === undefined, 'one direction per command');
    assert(length <= this.#options.pool.maximumLength, 'a control command that no buffer can hold');
    if (this.#closedWith !== undefined) return Promise.resolve(unanswered(this.#closedWith));
    return new Promise((resolve) => {
      const deadlineMs = this.#options.deadline();
      this.#waiting.push({ cdb: cdb.slice(), readLength, writeData, deadlineMs, resolve });
      this.#startNext();
    });
  }

  /** Ends the commands that have no task yet, and all later ones. */
  close(outcome: TaskOutcome): void {
    this.#closedWith = outcome;
    for (const command of this.#waiting.splice(0)) command.resolve(unanswered(outcome));
  }

  onBuffersAvailable(): void {
    this.#waitsForBuffer = false;
    this.#startNext();
  }

  onTaskDone(task: number): void {
    const { tasks, pool } = this.#options;
    const running = this.#running.get(task);
    assert(running !== undefined, 'a control task runs a command');
    this.#running.delete(task);
    this.#idle.push(task);
    const result = this.#resultOf(task, running.offset);
    if (running.borrowed !== noBuffer) pool.release(running.borrowed);
    tasks.readLength[task] = 0;
    tasks.writeLength[task] = 0;
    running.command.resolve(result);
    this.#startNext();
  }

  #startNext(): void {
    const { pool } = this.#options;
    while (this.#waiting.length > 0 && this.#idle.length > 0) {
      const command = this.#waiting[0];
      const length = command.readLength + (command.writeData?.length ?? 0);
      const borrowed = length > controlBufferLength ? pool.allocate(length) : noBuffer;
      if (length > controlBufferLength && borrowed === noBuffer) {
        if (!this.#waitsForBuffer) pool.addWaiter(this);
        this.#waitsForBuffer = true;
        return;
      }
      this.#waiting.shift();
      this.#start(command, borrowed);
    }
  }

  #start(command: Command, borrowed: number): void {
    const { arena, tasks, bufferOffset, submit } = this.#options;
    const task = this.#idle.pop() ?? -1;
    const own = bufferOffset + (task - this.#firstTask) * controlBufferLength;
    const offset = borrowed === noBuffer ? own : borrowed;
    tasks.cdb.fill(0, task * cdbLength, (task + 1) * cdbLength);
    tasks.cdb.set(command.cdb, task * cdbLength);
    tasks.readOffset[task] = offset;
    tasks.readLength[task] = command.readLength;
    tasks.writeOffset[task] = offset;
    tasks.writeLength[task] = command.writeData?.length ?? 0;
    tasks.deadlineMs[task] = command.deadlineMs;
    tasks.commandTimeoutMs[task] = Infinity;
    if (command.writeData !== undefined) arena.bytes.set(command.writeData, offset);
    this.#running.set(task, { command, offset, borrowed });
    submit(task);
  }

  #resultOf(task: number, offset: number): ScsiResult {
    const { arena, tasks } = this.#options;
    const outcome = tasks.outcome[task] as TaskOutcome;
    if (outcome !== TaskOutcome.answered) {
      return unanswered(outcome);
    }
    const senseAt = task * senseCapacity;
    return {
      outcome,
      scsiStatus: tasks.scsiStatus[task],
      sense: tasks.sense.slice(senseAt, senseAt + tasks.senseLength[task]),
      data: arena.bytes.slice(offset, offset + tasks.readPlaced[task]),
    };
  }
}

function unanswered(outcome: TaskOutcome): ScsiResult {
  return { outcome, scsiStatus: 0, sense: nothing, data: nothing };
}
