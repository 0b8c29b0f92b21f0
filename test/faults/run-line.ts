/** Carries out one line of the matrix and judges it. */
import { setTimeout as delay } from 'node:timers/promises';
import { waitUntil } from '../helpers/wait.ts';
import { waitingProcesses } from '../vm/guest/block-device.ts';
import type { Bed, Way } from './bed.ts';
import { DeviceAccess, SocketAccess, type BlockAccess } from './block-access.ts';
import { FileSystemAccess } from './file-system-access.ts';
import { lossPattern, type FaultVolume } from './fault-volume.ts';
import type { Fault, LoadPath, Row, Stage } from './line.ts';
import { LoggedWriter, type WriterResult } from './logged-writer.ts';

const depth = 32;
const regionBytes = 4 * 2 ** 20;
const regionOffset = 2 ** 20;
/** Longer than every time that a line may take to recover, in an emulated machine. */
const stuckMs = 150_000;

let runs = 0;

export async function runLine(bed: Bed, fault: Fault, over: Way, quick: boolean): Promise<Row> {
  const beganMs = performance.now();
  const load = bed.hasDevices ? fault.load : 'socket';
  const problems: string[] = [];
  const times = new Times();
  let result: WriterResult | undefined;
  let volume: FaultVolume | undefined;
  let access: BlockAccess | undefined;
  try {
    volume = await bed.volume(over, fault.settings ?? {});
    const served = volume;
    await waitUntil(
      'the session is up',
      async () => (await served.session()).state === 'up',
      60_000,
    );
    access = await openAccess(load, volume);
    const run = ++runs;
    const writer = new LoggedWriter({
      access,
      depth,
      offset: regionOffset,
      length: regionBytes,
      run,
    });
    writer.start();
    await writer.whenAcknowledged(3 * depth, 60_000);
    await fault.run(stageOf(bed, over, volume, writer, times, quick));
    await recovered(writer, times);
    await writer.whenAcknowledged(2 * depth, stuckMs);
    result = await writer.finish();
    problems.push(...result.mismatches);
    await access.close();
    access = undefined;
    if ((await volume.session()).state !== 'up') problems.push('the session is not up at the end');
    if (bed.hasDevices)
      await waitUntil('nobody waits for I/O', async () => (await waitingProcesses()).length === 0);
  } catch (error) {
    problems.push((error as Error).message.split('\n')[0]);
  }
  const loss =
    times.injectedAtMs === 0 ? undefined : volume?.logged(lossPattern, times.injectedAtMs);
  const detectedMs = loss === undefined ? null : loss.atMs - times.injectedAtMs;
  problems.push(...judge(fault, times, detectedMs, result));
  if (fault.logs !== undefined && volume?.logged(fault.logs, times.injectedAtMs) === undefined)
    problems.push(`the log lacks ${String(fault.logs)}`);
  if (problems.length > 0) {
    for (const problem of problems) console.log(`    ! ${problem}`);
    for (const line of volume?.logSince(times.injectedAtMs).slice(0, 60) ?? [])
      console.log(`    | ${line}`);
    // What is stuck must not spoil the lines that follow.
    bed.forgetVolume();
    await volume?.kill();
    await access?.abandon();
  }
  const end = loss === undefined ? null : (lossPattern.exec(loss.text)?.[1] ?? null);
  return {
    fault: fault.name,
    way: over.name,
    load: `${load}, ${depth} writes`,
    outcome: problems.length > 0 ? 'FAILED' : outcomeOf(fault, end),
    asExpected: problems.length === 0,
    problems,
    end,
    detectedMs,
    recoveredMs: times.recoveredMs,
    longestStallMs: result?.longestStallMs ?? 0,
    writesAcknowledged: result?.acknowledged ?? 0,
    writesFailed: result?.failed ?? 0,
    bytesVerified: result?.bytesVerified ?? 0,
    lineSeconds: Math.round((performance.now() - beganMs) / 1000),
  };
}

function openAccess(load: LoadPath, volume: FaultVolume): Promise<BlockAccess> {
  const memoryBytes = LoggedWriter.memoryBytes(depth);
  switch (load) {
    case 'device':
      return DeviceAccess.open(volume.device, memoryBytes);
    case 'file system':
      return FileSystemAccess.open(volume.device, regionOffset + regionBytes, memoryBytes);
    case 'socket':
      return SocketAccess.connect(volume.socketPath);
  }
}

class Times {
  injectedAtMs = 0;
  healedAtMs = 0;
  recoveredMs: number | null = null;
}

function stageOf(
  bed: Bed,
  over: Way,
  volume: FaultVolume,
  writer: LoggedWriter,
  times: Times,
  quick: boolean,
): Stage {
  const injectBy = async (action: () => unknown): Promise<void> => {
    times.injectedAtMs = Date.now();
    await action();
  };
  const healBy = async (action: () => unknown): Promise<void> => {
    await action();
    times.healedAtMs = Date.now();
  };
  return {
    bed,
    way: over,
    volume,
    writer,
    inject: (command) => injectBy(() => bed.targets.run(command)),
    injectBy,
    heal: (command) => healBy(() => bed.targets.run(command)),
    healBy,
    healed: () => healBy(() => undefined),
    hold: (seconds, quickSeconds = seconds) => delay((quick ? quickSeconds : seconds) * 1000),
    noticed: (timeoutMs, pattern = lossPattern) =>
      waitUntil(
        `the log says ${String(pattern)}`,
        () => volume.logged(pattern, times.injectedAtMs) !== undefined,
        timeoutMs,
      ),
  };
}

/** What is acknowledged after the fault's end and was not when it ended. */
async function recovered(writer: LoggedWriter, times: Times): Promise<void> {
  await writer.whenAcknowledged(1, stuckMs);
  times.recoveredMs = Date.now() - times.healedAtMs;
}

function judge(
  fault: Fault,
  times: Times,
  detectedMs: number | null,
  result: WriterResult | undefined,
): string[] {
  const problems: string[] = [];
  if (fault.connection === 'lost' && detectedMs === null)
    problems.push('the connection was not lost');
  if (fault.connection === 'kept' && detectedMs !== null) problems.push('the connection was lost');
  if (detectedMs !== null && detectedMs > (fault.detectedWithinMs ?? Infinity))
    problems.push(`noticed after ${detectedMs} ms, not within ${fault.detectedWithinMs} ms`);
  if (times.recoveredMs !== null && times.recoveredMs > fault.recoveredWithinMs)
    problems.push(
      `recovered after ${times.recoveredMs} ms, not within ${fault.recoveredWithinMs} ms`,
    );
  if (result === undefined) return problems;
  if (result.bytesVerified === 0) problems.push('nothing was verified');
  if (fault.ioErrors !== true && result.failed > 0)
    problems.push(`${result.failed} writes failed: ${result.errors.join(', ')}`);
  if (fault.ioErrors === true && result.failed === 0) problems.push('no write failed');
  return problems;
}

function outcomeOf(fault: Fault, end: string | null): string {
  if (fault.ioErrors === true) return 'I/O errors in time, then works';
  return end === null ? 'rode it out' : 'reconnected, nothing lost';
}
