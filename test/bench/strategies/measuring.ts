/** The parts of the comparison, measured in the guest. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Cell } from '../grid.ts';
import { cellName } from '../grid.ts';
import { Progress } from '../progress.ts';
import { StrategiesBed } from './bed.ts';
import type { StrategyDaemon } from './daemon.ts';
import { planOf, type Contender, type LoadPart, type Selection } from './plan.ts';
import { hasPaging } from './registration.ts';
import type { IdleSample, StrategiesRun, StrategySample } from './results.ts';

export interface LoadPartOptions extends Selection {
  readonly rounds: number;
  /** Of rounds that were measured before. */
  readonly firstRound: number;
  readonly seconds: number;
  /** After each step: what there is so far. */
  readonly onProgress: (found: Findings) => void;
}

export type Findings = Pick<StrategiesRun, 'troubles' | 'samples' | 'idle'>;

/** Compilers and caches are to be measured warm, as a service is. */
const warmUp: Cell = { pattern: 'randrw', blockSize: 4096, depth: 8, volumes: 1 };
const warmUpSeconds = 4;
const volumeMebibytes = 64;
/** Many volumes have to fit into the guest's memory, tgt's files and all. */
const manyVolumesMebibytes = 16;
/** After this a daemon has given back what it does not need any more: registrations may be idle for three rounds of 10 s. */
const settleMs = 35_000;

class Notes implements Findings {
  readonly troubles: { contender: string; reason: string }[] = [];
  readonly samples: StrategySample[] = [];
  readonly idle: IdleSample[] = [];

  trouble(contender: string, error: unknown): void {
    const reason = (error as Error).message.trim();
    console.log(`${contender}: ${reason}`);
    this.troubles.push({ contender, reason });
  }
}

/** Daemons side by side, in turn, cell by cell and round by round. */
export async function measureSideBySide(
  part: Exclude<LoadPart, 'volumes'>,
  options: LoadPartOptions,
): Promise<Findings> {
  const { contenders, cells } = planOf(part, options);
  const found = new Notes();
  const bed = await StrategiesBed.open({
    units: contenders.length,
    volumeMebibytes,
    asDevices: true,
  });
  const daemons: StrategyDaemon[] = [];
  for (const [index, contender] of (await possible(bed, contenders, found)).entries()) {
    const daemon = await startOne(bed, contender, index, 1, found);
    if (daemon !== undefined) daemons.push(daemon);
  }
  for (const daemon of daemons) {
    await daemon
      .warm(warmUp, { seconds: warmUpSeconds, volumeMebibytes })
      .catch((error: unknown) => {
        found.trouble(daemon.name, error);
      });
  }
  const { rounds, firstRound } = options;
  const progress = new Progress(rounds * cells.length * daemons.length);
  for (let round = firstRound; round < firstRound + rounds; round++) {
    for (const cell of cells)
      for (const daemon of rotated(daemons, round)) {
        const name = `round ${round}, ${daemon.name}, ${cellName(cell)}`;
        progress.step(name, await sampleOne(daemon, cell, round, options, volumeMebibytes, found));
        options.onProgress(found);
      }
  }
  if (part === 'strategies') {
    await delay(options.quick ? 0 : settleMs);
    for (const daemon of daemons) await idleOne(daemon, 1, 'later', found);
  }
  return found;
}

/** Daemon by daemon: what one needs for many volumes leaves no room for others. */
export async function measureVolumes(options: LoadPartOptions): Promise<Findings> {
  const { contenders, cells } = planOf('volumes', options);
  const found = new Notes();
  const bed = await StrategiesBed.open({
    units: Math.max(...cells.map(({ volumes }) => volumes)),
    volumeMebibytes: manyVolumesMebibytes,
    asDevices: false,
  });
  const able = await possible(bed, contenders, found);
  const { rounds, firstRound } = options;
  const progress = new Progress(rounds * cells.length * able.length);
  for (let round = firstRound; round < firstRound + rounds; round++) {
    for (const cell of cells)
      for (const contender of rotated(able, round)) {
        const daemon = await startOne(bed, contender, 0, cell.volumes, found);
        if (daemon === undefined) continue;
        const name = `round ${round}, ${contender.name}, ${cellName(cell)}`;
        const size = manyVolumesMebibytes;
        progress.step(name, await sampleOne(daemon, cell, round, options, size, found));
        await daemon.stop();
        options.onProgress(found);
      }
  }
  return found;
}

/** Those that the device can serve. */
async function possible(
  bed: StrategiesBed,
  contenders: readonly Contender[],
  found: Notes,
): Promise<Contender[]> {
  const paging = await hasPaging(bed.address);
  const isPossible = ({ isPaged }: Contender): boolean => paging || !isPaged;
  for (const contender of contenders)
    if (!isPossible(contender))
      found.trouble(
        contender.name,
        new Error('the RDMA device has no on-demand paging that it could use'),
      );
  return contenders.filter(isPossible);
}

/** Undefined when it does not start; others do. */
async function startOne(
  bed: StrategiesBed,
  contender: Contender,
  first: number,
  volumes: number,
  found: Notes,
): Promise<StrategyDaemon | undefined> {
  console.log(`starting ${contender.name}`);
  try {
    const daemon = await bed.start(contender, first, volumes);
    await idleOne(daemon, volumes, 'start', found);
    return daemon;
  } catch (error) {
    found.trouble(contender.name, error);
    return undefined;
  }
}

async function idleOne(
  daemon: StrategyDaemon,
  volumes: number,
  moment: IdleSample['moment'],
  found: Notes,
): Promise<void> {
  found.idle.push({ contender: daemon.name, volumes, moment, ...(await daemon.pins()) });
}

/** IOPS, or why there are none. */
async function sampleOne(
  daemon: StrategyDaemon,
  cell: Cell,
  round: number,
  { seconds }: LoadPartOptions,
  mebibytes: number,
  found: Notes,
): Promise<number | string> {
  try {
    const sample = await daemon.sample(cell, round, { seconds, volumeMebibytes: mebibytes });
    found.samples.push(sample);
    return sample.iops;
  } catch (error) {
    found.trouble(daemon.name, error);
    return (error as Error).message;
  }
}

/** Nobody always comes first. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
