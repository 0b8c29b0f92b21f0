/** Turns the next piece of a block request into a SCSI task: CDB, data ranges, deadline. */
import { cdbLength, type TaskTable } from '../iscsi/task-table.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import {
  OperationCode,
  WriteSameFlag,
  putGetLbaStatus,
  putRead10,
  putRead16,
  putSynchronizeCache10,
  putSynchronizeCache16,
  putUnmap,
  putUnmapDescriptor,
  putUnmapHeader,
  putWrite10,
  putWrite16,
  putWriteSame16,
  unmapDescriptorLength,
  unmapHeaderLength,
} from '../scsi/cdb.ts';
import { assert } from '../errors.ts';
import { ZeroMethod } from './capabilities.ts';
import type { PlanningBase } from './planning-base.ts';
import type { LogicalUnitProfile } from './profile.ts';
import { TaskKind, type RequestProgress } from './progress.ts';
import { BlockOperation, type RequestTable } from './request-table.ts';
import { scratchSlotLength, type ZeroBuffer } from './scratch.ts';
import { pieceEnd, type SplitLimits } from './split.ts';

const unmapListLength = unmapHeaderLength + unmapDescriptorLength;

export class TaskWriter {
  readonly #tasks: TaskTable;
  readonly #requests: RequestTable;
  readonly #progress: RequestProgress;
  readonly #view: DataView;
  readonly #zeroes: ZeroBuffer;

  constructor(
    tasks: TaskTable,
    requests: RequestTable,
    progress: RequestProgress,
    arena: ArenaMemory,
    zeroes: ZeroBuffer,
  ) {
    this.#tasks = tasks;
    this.#requests = requests;
    this.#progress = progress;
    this.#view = arena.view;
    this.#zeroes = zeroes;
  }

  /** Tasks of this kind need a scratch slot. */
  needsScratch(kind: number): boolean {
    return kind === TaskKind.unmap || kind === TaskKind.lbaStatus;
  }

  /**
   * Fills in `task` with the request's next piece and moves the request's position behind it. `scratch` is the arena offset of
   * the task's scratch slot, if its kind needs one.
   */
  write(task: number, request: number, scratch: number, base: PlanningBase): void {
    const { profile, limits } = base;
    const progress = this.#progress;
    const position = progress.position[request];
    const kind = progress.kind[request];
    const end = this.#pieceEnd(request, kind, position, limits);
    switch (kind) {
      case TaskKind.read:
      case TaskKind.write:
      case TaskKind.zeroWrite:
        this.#writeTransfer(task, request, kind, end - position, profile);
        break;
      case TaskKind.writeSame:
        this.#writeSame(task, request, end - position, profile.logicalBlockLength);
        break;
      case TaskKind.unmap:
        this.#writeUnmap(task, request, end - position, profile.logicalBlockLength, scratch);
        break;
      case TaskKind.lbaStatus:
        this.#writeLbaStatus(task, request, profile.logicalBlockLength, scratch);
        break;
      default:
        this.#writeSynchronize(task, base.capabilities.synchronize);
    }
    progress.position[request] = end;
  }

  #pieceEnd(request: number, kind: number, position: number, limits: SplitLimits): number {
    const end = this.#progress.end[request];
    const granularity = limits.transferGranularity;
    switch (kind) {
      case TaskKind.read:
      case TaskKind.write:
        return pieceEnd(position, end, limits.transferMaximum, granularity, 0);
      case TaskKind.zeroWrite:
        return pieceEnd(position, end, limits.zeroWriteMaximum, granularity, 0);
      case TaskKind.unmap:
        return pieceEnd(
          position,
          end,
          limits.unmapMaximum,
          limits.unmapGranularity,
          limits.unmapAlignment,
        );
      case TaskKind.writeSame:
        return pieceEnd(
          position,
          end,
          limits.writeSameMaximum,
          limits.unmapGranularity,
          limits.unmapAlignment,
        );
      default:
        return end;
    }
  }

  // Offsets and LBAs are read from their column where they are used: numbers above 2^31 are allocated when passed on.
  #writeTransfer(
    task: number,
    request: number,
    kind: number,
    length: number,
    profile: LogicalUnitProfile,
  ): void {
    const position = this.#progress.position[request];
    const lba = Math.floor(position / profile.logicalBlockLength);
    const blocks = length / profile.logicalBlockLength;
    const tasks = this.#tasks;
    const at = task * cdbLength;
    const fua = this.#progress.fua[request] === 1;
    const memory =
      kind === TaskKind.zeroWrite
        ? this.#zeroes.offset
        : this.#requests.bufferOffset[request] + (position - this.#requests.offset[request]);
    if (kind === TaskKind.read) {
      if (profile.commands16) putRead16(tasks.cdbView, at, lba, blocks);
      else putRead10(tasks.cdbView, at, lba, blocks);
      tasks.readOffset[task] = memory;
      tasks.readLength[task] = length;
      return;
    }
    if (profile.commands16) putWrite16(tasks.cdbView, at, lba, blocks, fua);
    else putWrite10(tasks.cdbView, at, lba, blocks, fua);
    tasks.writeOffset[task] = memory;
    tasks.writeLength[task] = length;
  }

  #writeSame(task: number, request: number, length: number, block: number): void {
    const lba = Math.floor(this.#progress.position[request] / block);
    const blocks = length / block;
    const tasks = this.#tasks;
    const isTrim = this.#requests.operation[request] === BlockOperation.trim;
    const method = isTrim ? ZeroMethod.unmap : this.#progress.method[request];
    const flags = method & (WriteSameFlag.unmap | WriteSameFlag.ndob);
    putWriteSame16(tasks.cdbView, task * cdbLength, lba, blocks, flags);
    if ((flags & WriteSameFlag.ndob) !== 0) return;
    assert(block <= this.#zeroes.length, 'the zero buffer is shorter than a logical block');
    tasks.writeOffset[task] = this.#zeroes.offset;
    tasks.writeLength[task] = block;
  }

  #writeUnmap(task: number, request: number, length: number, block: number, scratch: number): void {
    const lba = Math.floor(this.#progress.position[request] / block);
    const blocks = length / block;
    const tasks = this.#tasks;
    putUnmapHeader(this.#view, scratch, 1);
    putUnmapDescriptor(this.#view, scratch, 0, lba, blocks);
    putUnmap(tasks.cdbView, task * cdbLength, unmapListLength);
    tasks.writeOffset[task] = scratch;
    tasks.writeLength[task] = unmapListLength;
  }

  #writeLbaStatus(task: number, request: number, block: number, scratch: number): void {
    const lba = Math.floor(this.#progress.position[request] / block);
    const tasks = this.#tasks;
    putGetLbaStatus(tasks.cdbView, task * cdbLength, lba, scratchSlotLength);
    tasks.readOffset[task] = scratch;
    tasks.readLength[task] = scratchSlotLength;
  }

  #writeSynchronize(task: number, operationCode: number): void {
    const at = task * cdbLength;
    if (operationCode === OperationCode.synchronizeCache16) {
      putSynchronizeCache16(this.#tasks.cdbView, at, 0, 0);
    } else {
      putSynchronizeCache10(this.#tasks.cdbView, at, 0, 0);
    }
  }
}
