/** Decides how a block request is carried out: checks it, and sets up its next phase in RequestProgress. */
import { TrimMethod, noSynchronize, type Capabilities } from './capabilities.ts';
import type { BlockGeometry } from './device.ts';
import type { PlanningBase } from './planning-base.ts';
import { RequestPhase, TaskKind, type RequestProgress } from './progress.ts';
import { BlockError, BlockFlag, BlockOperation, type RequestTable } from './request-table.ts';
import { roundDown, roundUp } from './split.ts';

/** The request has tasks to submit. Any other result of `plan` is the BlockError with which the request ends. */
export const proceed = -1;

/** Plans the request's present phase (idle: the first one) from its start. */
export function planRequest(
  requests: RequestTable,
  progress: RequestProgress,
  base: PlanningBase,
  request: number,
): number {
  if (progress.phase[request] === RequestPhase.synchronize) {
    return planSynchronize(progress, base.capabilities, request);
  }
  const operation = requests.operation[request];
  if (operation === BlockOperation.flush) {
    return planSynchronize(progress, base.capabilities, request);
  }
  if (operation === BlockOperation.cache) return BlockError.none;
  const refusal = checkRange(requests, base.geometry, request);
  if (refusal !== BlockError.none || requests.length[request] === 0) return refusal;
  progress.clearPlan(request);
  const outcome = planData(requests, progress, base, request);
  if (outcome === proceed) progress.enter(request, RequestPhase.data);
  return outcome;
}

/** Offset and length against the geometry as it is now: it may have changed since the front end looked. */
function checkRange(requests: RequestTable, geometry: BlockGeometry, request: number): BlockError {
  const operation = requests.operation[request];
  const offset = requests.offset[request];
  const length = requests.length[request];
  const changes = operation !== BlockOperation.read && operation !== BlockOperation.blockStatus;
  if (changes && geometry.readOnly) return BlockError.notPermitted;
  if (offset + length > geometry.sizeBytes) {
    return operation === BlockOperation.write || operation === BlockOperation.writeZeroes
      ? BlockError.noSpace
      : BlockError.invalid;
  }
  const mustAlign = operation !== BlockOperation.trim && operation !== BlockOperation.blockStatus;
  const block = geometry.logicalBlockLength;
  return mustAlign && (offset % block !== 0 || length % block !== 0)
    ? BlockError.invalid
    : BlockError.none;
}

function planData(
  requests: RequestTable,
  progress: RequestProgress,
  base: PlanningBase,
  request: number,
): number {
  progress.position[request] = requests.offset[request];
  progress.end[request] = requests.offset[request] + requests.length[request];
  switch (requests.operation[request]) {
    case BlockOperation.read:
      progress.kind[request] = TaskKind.read;
      return proceed;
    case BlockOperation.write:
      planWrite(requests, progress, base.capabilities, request, TaskKind.write);
      return proceed;
    case BlockOperation.trim:
      return planTrim(requests, progress, base, request);
    case BlockOperation.writeZeroes:
      return planZeroes(requests, progress, base.capabilities, request);
    case BlockOperation.blockStatus:
      progress.kind[request] = TaskKind.lbaStatus;
      return base.capabilities.allocation ? proceed : BlockError.none;
    default:
      return BlockError.invalid;
  }
}

/** Force unit access by the FUA bit where there is one, else by synchronizing once all data is written. */
function planWrite(
  requests: RequestTable,
  progress: RequestProgress,
  capabilities: Capabilities,
  request: number,
  kind: TaskKind,
): void {
  progress.kind[request] = kind;
  if ((requests.flags[request] & BlockFlag.forceUnitAccess) === 0) return;
  if (capabilities.fua) progress.fua[request] = 1;
  else progress.synchronizeAfter[request] = 1;
}

/** Rounds inwards to whole granules; a trim is a hint, so that doing nothing is success (proto.md: NBD_CMD_TRIM). */
function planTrim(
  requests: RequestTable,
  progress: RequestProgress,
  base: PlanningBase,
  request: number,
): number {
  const method = base.capabilities.trim;
  if (method === TrimMethod.none) return BlockError.none;
  const { unmapGranularity, unmapAlignment } = base.limits;
  const start = roundUp(progress.position[request], unmapGranularity, unmapAlignment);
  const end = roundDown(progress.end[request], unmapGranularity, unmapAlignment);
  if (start >= end) return BlockError.none;
  progress.position[request] = start;
  progress.end[request] = end;
  progress.kind[request] = method === TrimMethod.unmap ? TaskKind.unmap : TaskKind.writeSame;
  progress.method[request] = method;
  synchronizeIfForced(requests, progress, request);
  return proceed;
}

function planZeroes(
  requests: RequestTable,
  progress: RequestProgress,
  capabilities: Capabilities,
  request: number,
): number {
  const flags = requests.flags[request];
  const method = capabilities.zeroMethod((flags & BlockFlag.noHole) !== 0);
  if (method !== 0) {
    progress.kind[request] = TaskKind.writeSame;
    progress.method[request] = method;
    synchronizeIfForced(requests, progress, request);
    return proceed;
  }
  if ((flags & BlockFlag.fastZero) !== 0) return BlockError.notSupported;
  planWrite(requests, progress, capabilities, request, TaskKind.zeroWrite);
  return proceed;
}

/** UNMAP and WRITE SAME have no FUA bit. */
function synchronizeIfForced(
  requests: RequestTable,
  progress: RequestProgress,
  request: number,
): void {
  if ((requests.flags[request] & BlockFlag.forceUnitAccess) !== 0) {
    progress.synchronizeAfter[request] = 1;
  }
}

/** One task for the whole logical unit. Without any such command all is well only if nothing is volatile. */
function planSynchronize(
  progress: RequestProgress,
  capabilities: Capabilities,
  request: number,
): number {
  if (capabilities.synchronize === noSynchronize) {
    return capabilities.writeThrough ? BlockError.none : BlockError.ioError;
  }
  progress.enter(request, RequestPhase.synchronize);
  progress.kind[request] = TaskKind.synchronize;
  progress.synchronizeAfter[request] = 0;
  progress.position[request] = 0;
  progress.end[request] = 1;
  return proceed;
}

/** A task of this kind was refused: takes the capability away. False: there is no other way, the request fails. */
export function giveUpCapability(
  capabilities: Capabilities,
  progress: RequestProgress,
  request: number,
  operationCode: number,
  wholeCommand: boolean,
  isTrim: boolean,
): boolean {
  switch (progress.kind[request]) {
    case TaskKind.write:
    case TaskKind.zeroWrite:
      if (progress.fua[request] === 0 || wholeCommand) return false;
      capabilities.fua = false;
      return true;
    case TaskKind.writeSame:
      if (isTrim) capabilities.refuseTrim(TrimMethod.writeSameUnmap);
      else capabilities.refuseZero(progress.method[request], wholeCommand);
      return true;
    case TaskKind.unmap:
      capabilities.refuseTrim(TrimMethod.unmap);
      return true;
    case TaskKind.lbaStatus:
      capabilities.allocation = false;
      return true;
    case TaskKind.synchronize:
      capabilities.refuseSynchronize(operationCode);
      return true;
    default:
      return false;
  }
}
