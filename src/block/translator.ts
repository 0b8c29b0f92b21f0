/**
 * A logical unit behind an iSCSI session as a BlockDevice: every block request becomes 1..n SCSI tasks, and their answers the
 * request's end. No allocation per request: all state is in columns (RequestProgress, TaskTable).
 *
 *   submit -> plan -> issue (at most `window` tasks of one request at once) -> onTaskDone ... -> [synchronize] -> complete
 *
 * A request that finds no free task (or no scratch memory) waits in a ring, first come first served. The first error of a
 * request stays; the request ends when its last task has ended, so its buffer is then nobody's.
 *
 * Thread: that of its session.
 */
import { assert } from '../errors.ts';
import type { ScsiSession } from '../iscsi/scsi-session.ts';
import { TaskOutcome, cdbLength, type TaskOwner, type TaskTable } from '../iscsi/task-table.ts';
import type { ArenaMemory } from '../reactor/reactor.ts';
import { emptySense } from '../scsi/sense.ts';
import type { BlockDevice, BlockGeometry } from './device.ts';
import type { ExtentBuffer } from './extents.ts';
import { giveUpCapability, planRequest, proceed } from './planner.ts';
import { planningBase, type PlanningBase } from './planning-base.ts';
import type { LogicalUnitProfile } from './profile.ts';
import { RequestPhase, RequestProgress, TaskKind } from './progress.ts';
import { RequestEndings } from './request-endings.ts';
import { RequestRing } from './request-ring.ts';
import { BlockError, BlockOperation, type RequestTable } from './request-table.ts';
import { TaskRetries } from './task-retries.ts';
import { ScratchSlots } from './scratch.ts';
import { TaskWriter } from './task-writer.ts';
import {
  emptyTranslatorStatistics,
  type ScsiBlockDeviceOptions,
  type TranslatorStatistics,
} from './translator-options.ts';
import { Verdict, judgeTask } from './verdict.ts';

/** Tasks that need a scratch slot and can be outstanding at once. */
const scratchSlots = 16;

const slowKinds: readonly boolean[] = [false, false, false, true, true, false, true];
const writingKinds: readonly boolean[] = [false, true, true, true, true, false, true];

export class ScsiBlockDevice implements BlockDevice, TaskOwner {
  readonly requests: RequestTable;
  readonly statistics: TranslatorStatistics = emptyTranslatorStatistics();
  /**
   * Ends requests that were finished within `submit`, and sends repeated tasks. To be called after every batch in which
   * `submit` was called, and before the front end sends what the batch has gathered (it is bound: pass it as a listener).
   */
  readonly flush: () => void;

  readonly #session: ScsiSession;
  readonly #tasks: TaskTable;
  readonly #arena: ArenaMemory;
  readonly #options: ScsiBlockDeviceOptions;
  readonly #replacementTimeoutMs: number;
  readonly #progress: RequestProgress;
  readonly #writer: TaskWriter;
  readonly #scratch: ScratchSlots;
  readonly #scratchOfTask: Int16Array;
  readonly #retries: TaskRetries;
  /** Requests that wait for a task slot or a scratch slot. */
  readonly #waiting: RequestRing;
  readonly #endings: RequestEndings;
  readonly #sense = emptySense();
  readonly #onTaskSlotFree: () => void;
  #base: PlanningBase;
  #pumping = false;
  #awaitsTaskSlot = false;
  /** An earlier, already answered write has failed (deferred sense): the next synchronize must say so. */
  #deferredError = false;
  /** The session is closed for good: nothing is submitted any more. */
  #sessionEnded = false;

  constructor(options: ScsiBlockDeviceOptions) {
    const { session, requests, profile } = options;
    this.#options = options;
    this.#session = session;
    this.#tasks = session.tasks;
    this.#arena = options.arena;
    this.requests = requests;
    this.#replacementTimeoutMs =
      options.replacementTimeoutMs <= 0 ? Infinity : options.replacementTimeoutMs;
    this.#progress = new RequestProgress(requests.capacity);
    this.#waiting = new RequestRing(requests.capacity);
    this.#scratch = new ScratchSlots(options.pool, scratchSlots);
    this.#scratchOfTask = new Int16Array(this.#tasks.capacity).fill(-1);
    this.#writer = new TaskWriter(
      this.#tasks,
      requests,
      this.#progress,
      options.arena,
      options.zeroes,
    );
    this.flush = () => {
      if (this.#retries.count > 0) this.#retries.resubmit();
      this.#endings.flush();
    };
    this.#retries = new TaskRetries(session, options.timers, this.flush);
    this.#endings = new RequestEndings(requests, () => {
      this.#retries.wake();
    });
    this.#onTaskSlotFree = () => {
      this.#awaitsTaskSlot = false;
      this.#pump();
    };
    this.#base = this.#planningBase(profile);
  }

  get geometry(): BlockGeometry {
    return this.#base.geometry;
  }

  get profile(): LogicalUnitProfile {
    return this.#base.profile;
  }

  /** Requests that have been submitted and have not ended. */
  get inFlight(): number {
    return this.#endings.inFlight;
  }

  get extents(): ExtentBuffer {
    return this.#endings.extents;
  }

  /**
   * The logical unit has changed (resize, other limits); the logical block length never does, that would be another device.
   * Requests already planned go on as they were.
   */
  replaceProfile(profile: LogicalUnitProfile): void {
    assert(
      profile.logicalBlockLength === this.#base.profile.logicalBlockLength,
      'the logical block length of a device in use changes',
    );
    this.#base = this.#planningBase(profile);
  }

  #planningBase(profile: LogicalUnitProfile): PlanningBase {
    const { readOnly, maxTransferLength, zeroes } = this.#options;
    return planningBase(profile, readOnly, maxTransferLength, zeroes.length);
  }

  submit(request: number): void {
    this.#endings.enterSubmit();
    this.#progress.begin(request);
    this.#progress.deadlineMs[request] = this.#session.coarseNowMs[0] + this.#replacementTimeoutMs;
    this.#plan(request);
    this.#endings.leaveSubmit();
  }

  /** After the session is closed: ends what was waiting for another attempt with shuttingDown, and gives the memory back. */
  close(): void {
    this.#sessionEnded = true;
    for (let task = this.#retries.take(); task >= 0; task = this.#retries.take()) {
      this.#end(task, Verdict.failed + BlockError.shuttingDown);
    }
    this.#pump();
    this.#endings.flush();
    assert(this.inFlight === 0, 'block device closed with requests in flight');
    this.#retries.close();
    this.#scratch.close();
  }

  /** Called by the session. */
  onTaskDone(task: number): void {
    const kind = this.#tasks.tag2[task];
    const verdict = judgeTask(this.#tasks, task, writingKinds[kind], this.#sense);
    if (verdict === Verdict.retryNow || verdict === Verdict.retryLater) {
      this.#noteDeferredError();
      if (!this.#sessionEnded && this.#retries.retry(task, verdict === Verdict.retryLater)) {
        this.statistics.retries++;
        return;
      }
    }
    if (this.#tasks.outcome[task] === TaskOutcome.sessionClosed) this.#sessionEnded = true;
    this.#end(task, verdict);
    this.#pump();
  }

  #end(task: number, verdict: number): void {
    const request = this.#tasks.tag[task];
    this.#settle(task, request, this.#tasks.tag2[task], verdict);
    this.#freeTask(task);
    this.#progress.outstanding[request]--;
    this.#continue(request);
  }

  #noteDeferredError(): void {
    if (!this.#sense.deferred) return;
    this.#sense.deferred = false;
    this.#deferredError = true;
    this.statistics.deferredErrors++;
  }

  #plan(request: number): void {
    const outcome = planRequest(this.requests, this.#progress, this.#base, request);
    if (outcome === proceed) this.#run(request);
    else this.#finish(request, outcome as BlockError);
  }

  /** Issues what the request may have outstanding, after those that wait already. */
  #run(request: number): void {
    if (this.#waiting.length > 0) {
      this.#wait(request);
      this.#pump();
    } else if (this.#issue(request) !== Issue.settled) {
      this.#wait(request);
    }
  }

  #wait(request: number): void {
    if (this.#progress.queued[request] === 1) return;
    this.#progress.queued[request] = 1;
    this.#waiting.push(request);
  }

  #issue(request: number): Issue {
    const { outstanding } = this.#progress;
    let result: Issue = Issue.settled;
    // Held, so that a task that ends within submitTask cannot end the request under our feet.
    outstanding[request]++;
    while (this.#progress.hasMore(request) && outstanding[request] <= this.#options.window) {
      result = this.#issueTask(request);
      if (result !== Issue.settled) break;
    }
    outstanding[request]--;
    if (result === Issue.settled) this.#advanceIfDone(request);
    return result;
  }

  #issueTask(request: number): Issue {
    if (this.#sessionEnded) {
      this.#fail(request, BlockError.shuttingDown);
      return Issue.settled;
    }
    const tasks = this.#tasks;
    const kind = this.#progress.kind[request];
    let scratch = -1;
    if (this.#writer.needsScratch(kind)) {
      scratch = this.#scratch.take();
      if (scratch < 0) return Issue.noScratch;
    }
    const task = tasks.allocate(this);
    if (task < 0) {
      if (scratch >= 0) this.#scratch.giveBack(scratch);
      this.#awaitTaskSlot();
      return Issue.noTask;
    }
    this.#scratchOfTask[task] = scratch;
    const scratchOffset = scratch < 0 ? 0 : this.#scratch.offsetOf(scratch);
    this.#writer.write(task, request, scratchOffset, this.#base);
    tasks.tag[task] = request;
    tasks.tag2[task] = kind;
    tasks.deadlineMs[task] = this.#progress.deadlineMs[request];
    tasks.commandTimeoutMs[task] = slowKinds[kind]
      ? this.#options.slowCommandTimeoutMs
      : this.#options.commandTimeoutMs;
    this.#retries.start(task);
    this.#progress.outstanding[request]++;
    this.statistics.tasks++;
    this.#session.submitTask(task);
    return Issue.settled;
  }

  #awaitTaskSlot(): void {
    if (this.#awaitsTaskSlot) return;
    this.#awaitsTaskSlot = true;
    this.#session.addTaskWaiter(this.#onTaskSlotFree);
  }

  /** Takes what the task's answer means into the request's columns. */
  #settle(task: number, request: number, kind: number, verdict: number): void {
    switch (verdict) {
      case Verdict.success:
        this.#settleSuccess(task, request, kind);
        return;
      case Verdict.invalidCommand:
      case Verdict.invalidField:
        this.#settleRefusal(task, request, verdict === Verdict.invalidCommand);
        return;
      case Verdict.retryNow:
      case Verdict.retryLater:
        this.statistics.failures.count(this.#tasks, task, this.#sense.key);
        this.#fail(request, BlockError.ioError);
        return;
      default:
        this.statistics.failures.count(this.#tasks, task, this.#sense.key);
        this.#fail(request, (verdict - Verdict.failed) as BlockError);
    }
  }

  #settleSuccess(task: number, request: number, kind: number): void {
    switch (kind) {
      case TaskKind.read:
      case TaskKind.write:
      case TaskKind.zeroWrite:
        this.#checkComplete(task, request);
        return;
      case TaskKind.lbaStatus:
        this.#endings.takeExtents(
          request,
          this.#arena.view,
          this.#tasks.readOffset[task],
          this.#tasks.readPlaced[task],
          this.#base.profile,
        );
        return;
      case TaskKind.synchronize:
        if (this.#deferredError) this.#fail(request, BlockError.ioError);
        this.#deferredError = false;
        return;
      default:
    }
  }

  /** GOOD with a residual: not all bytes were moved, and what lies behind them in the buffer is somebody else's. */
  #checkComplete(task: number, request: number): void {
    const tasks = this.#tasks;
    const short = tasks.readPlaced[task] < tasks.readLength[task];
    if (!short && tasks.residual[task] === 0) return;
    this.statistics.shortTransfers++;
    this.#fail(request, BlockError.ioError);
  }

  #settleRefusal(task: number, request: number, wholeCommand: boolean): void {
    const another = giveUpCapability(
      this.#base.capabilities,
      this.#progress,
      request,
      this.#tasks.cdb[task * cdbLength],
      wholeCommand,
      this.requests.operation[request] === BlockOperation.trim,
    );
    if (another) this.#progress.replan[request] = 1;
    else this.#fail(request, BlockError.ioError);
  }

  #fail(request: number, error: BlockError): void {
    if (this.#progress.error[request] === BlockError.none) this.#progress.error[request] = error;
  }

  #freeTask(task: number): void {
    const scratch = this.#scratchOfTask[task];
    if (scratch >= 0) {
      this.#scratchOfTask[task] = -1;
      this.#scratch.giveBack(scratch);
    }
    this.#tasks.free(task);
  }

  /** One of the request's tasks has ended. A request in the ring is left to `pump`. */
  #continue(request: number): void {
    const progress = this.#progress;
    if (progress.queued[request] === 1) return;
    if (!progress.hasMore(request)) this.#advanceIfDone(request);
    else if (progress.outstanding[request] < this.#options.window) this.#run(request);
  }

  /** The next phase, or the end, once everything of this phase is done. */
  #advanceIfDone(request: number): void {
    const progress = this.#progress;
    if (progress.outstanding[request] > 0 || progress.hasMore(request)) return;
    if (progress.error[request] !== BlockError.none) {
      this.#finish(request, progress.error[request] as BlockError);
    } else if (progress.replan[request] === 1) {
      progress.replan[request] = 0;
      this.statistics.replans++;
      this.#plan(request);
    } else if (progress.synchronizeAfter[request] === 1) {
      progress.enter(request, RequestPhase.synchronize);
      this.#plan(request);
    } else {
      this.#finish(request, BlockError.none);
    }
  }

  /** Serves the ring until it is empty or no task slot is left; requests that only lack scratch memory do not hold up others. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    let stuck = 0;
    while (this.#waiting.length > stuck) {
      const request = this.#waiting.shift();
      this.#progress.queued[request] = 0;
      const result = this.#issue(request);
      if (result === Issue.settled) {
        stuck = 0;
        continue;
      }
      if (this.#progress.queued[request] === 1) continue;
      this.#progress.queued[request] = 1;
      if (result === Issue.noTask) {
        this.#waiting.unshift(request);
        break;
      }
      this.#waiting.push(request);
      stuck++;
    }
    this.#pumping = false;
  }

  #finish(request: number, error: BlockError): void {
    const progress = this.#progress;
    if (progress.phase[request] !== RequestPhase.idle) progress.enter(request, RequestPhase.idle);
    this.#endings.finish(request, error);
  }
}

const Issue = { settled: 0, noTask: 1, noScratch: 2 } as const;
type Issue = (typeof Issue)[keyof typeof Issue];
