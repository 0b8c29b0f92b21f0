/** Measures the servers of one place side by side: round by round, cell by cell, one server after the other. */
import { cpuMicroseconds } from './cpu-time.ts';
import { labelOf, serversOf, type ServerKind } from './field.ts';
import { measure, rampSeconds } from './fio.ts';
import { cellName, grid, type Cell } from './grid.ts';
import type { Machine } from './machine.ts';
import { openPlace, placeTitles, volumeMebibytes, type PlaceName } from './places.ts';
import { Progress } from './progress.ts';
import {
  save,
  type Failure,
  type PlaceResult,
  type RunOptions,
  type Sample,
  type ServerState,
} from './results.ts';
import type { Server } from './servers/server.ts';
import { summarize } from './summary.ts';

interface Contender {
  readonly label: string;
  readonly server: Server;
  failuresInARow: number;
  /** Why it is out. */
  error?: string;
}

interface Started {
  readonly contenders: readonly Contender[];
  /** Why a server could not be started, by label. */
  readonly absent: ReadonlyMap<string, string>;
}

/** Before the first round, on all volumes: compilers and caches are to be measured warm, as a service is. */
const warmUp = { pattern: 'randrw', blockSize: 4096, depth: 8 } as const;
const warmUpSeconds = 10;
const quickWarmUpSeconds = 2;

/** A single one may be the machine's fault; a server that has gone shall not cost a time-out for every cell. */
const mostFailuresInARow = 3;

export interface PlaceOptions extends RunOptions {
  readonly place: PlaceName;
  readonly machine: Machine;
  /** Where the result goes, after every round. */
  readonly directory: string;
}

export async function measurePlace(options: PlaceOptions): Promise<void> {
  const { cells } = grid(options.grid, options.quick);
  const volumes = Math.max(...cells.map((cell) => cell.volumes));
  const { place, field } = options;
  const kinds = serversOf(place, field);
  console.log(`${place}: starting the target with ${volumes} volumes`);
  const open = await openPlace(place, kinds, volumes);
  const contenders: Contender[] = [];
  const absent = new Map<string, string>();
  try {
    for (const kind of startOrder(kinds)) {
      const label = labelOf(kind);
      console.log(`starting ${label}`);
      try {
        contenders.push({ label, server: await open.start(kind), failuresInARow: 0 });
      } catch (error) {
        const reason = (error as Error).message.trim();
        console.log(`${label} cannot be started: ${reason.slice(0, 500)}`);
        absent.set(label, reason);
      }
    }
    await measureRounds(options, cells, { contenders, absent });
  } finally {
    await open.close(contenders.map(({ server }) => server));
  }
}

/** What may leave a wreck at the target comes last: libiscsi over iSER. */
function startOrder(kinds: readonly ServerKind[]): ServerKind[] {
  const isRisky = ({ name, transport }: ServerKind): boolean =>
    name === 'qemu-nbd' && transport === 'iSER';
  return [...kinds.filter((kind) => !isRisky(kind)), ...kinds.filter(isRisky)];
}

async function measureRounds(
  options: PlaceOptions,
  cells: readonly Cell[],
  { contenders, absent }: Started,
): Promise<void> {
  const { rounds, place, seconds } = options;
  const date = new Date().toISOString();
  const samples: Sample[] = [];
  const failures: Failure[] = [];
  const running = (): Contender[] => contenders.filter(({ error }) => error === undefined);
  for (const contender of running()) await warm(contender, options.quick);
  const progress = new Progress(rounds * cells.length * running().length);
  for (let round = 1; round <= rounds; round++) {
    for (const [index, cell] of cells.entries()) {
      for (const contender of rotated(running(), round - 1)) {
        const name = `${place}, round ${round} of ${rounds}, ${contender.label}, ${cellName(cell)}`;
        try {
          const sample = await sampleOf(contender, cell, round, seconds);
          samples.push(sample);
          contender.failuresInARow = 0;
          progress.step(name, sample.iops);
        } catch (error) {
          const reason = (error as Error).message.trim();
          failures.push({ server: contender.label, cell, round, error: reason });
          if (++contender.failuresInARow === mostFailuresInARow) {
            contender.error = reason;
            progress.skip((rounds - round + 1) * cells.length - index - 1);
          }
          progress.step(name, reason);
        }
      }
    }
    save(
      options.directory,
      resultOf(options, { contenders, absent }, { date, roundsDone: round, samples, failures }),
    );
  }
}

/** Whoever fails at it will fail again where it counts. */
async function warm({ label, server }: Contender, quick: boolean): Promise<void> {
  const seconds = quick ? quickWarmUpSeconds : warmUpSeconds;
  console.log(`${label}: warming up for ${seconds} s`);
  await measure(server.disks, warmUp, { seconds, size: `${volumeMebibytes}m` }).catch(
    () => undefined,
  );
}

/** Nobody always comes first. */
function rotated<T>(items: readonly T[], by: number): T[] {
  const start = items.length === 0 ? 0 : by % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}

async function sampleOf(
  { label, server }: Contender,
  cell: Cell,
  round: number,
  seconds: number,
): Promise<Sample> {
  const usedSoFar = (): number => server.pids.reduce((sum, pid) => sum + cpuMicroseconds(pid), 0);
  const before = usedSoFar();
  const measurement = await measure(server.disks.slice(0, cell.volumes), cell, {
    seconds,
    size: `${volumeMebibytes}m`,
  });
  // Requests of the ramp-up are served too, at about the same rate.
  const requests = measurement.iops * (seconds + rampSeconds(seconds));
  const cpu =
    server.pids.length === 0
      ? {}
      : { cpuMicrosecondsPerRequest: (usedSoFar() - before) / requests };
  return { server: label, cell, round, ...measurement, ...cpu };
}

function resultOf(
  options: PlaceOptions,
  { contenders, absent }: Started,
  measured: Pick<PlaceResult, 'date' | 'roundsDone' | 'samples' | 'failures'>,
): PlaceResult {
  const { place, machine, quick, rounds, seconds, grid: gridName, field: fieldName } = options;
  return {
    ...{ place, title: placeTitles[place], grid: gridName, field: fieldName },
    ...{ quick, rounds, seconds },
    ...{ volumeMebibytes, machine },
    servers: serversOf(place, fieldName).map((kind): ServerState => {
      const label = labelOf(kind);
      const contender = contenders.find((each) => each.label === label);
      const error = contender?.error ?? absent.get(label);
      const complaints = contender?.server.complaints() ?? '';
      return {
        label,
        ...(error === undefined ? {} : { error }),
        ...(complaints === '' ? {} : { complaints }),
      };
    }),
    summaries: summarize(measured.samples),
    ...measured,
  };
}
