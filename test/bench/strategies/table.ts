/** The comparison of registration strategies as markdown. */
import { figure, spreadText } from '../figures.ts';
import { cellName, type Cell } from '../grid.ts';
import type { PartName } from './plan.ts';
import type { IdleSample, PartResult, Pins, StrategiesRun, StrategySample } from './results.ts';
import { spread, type Spread } from '../summary.ts';
import { markdownTable } from '../table.ts';
import { sizeName } from '../workload.ts';

const partTitles: Readonly<Record<PartName, string>> = {
  strategies: 'Strategies side by side',
  limits: 'Strategy cache by pin limit, 64 KiB random 70:30 QD32',
  volumes: 'Strategies by volumes',
  registration: 'What one registration costs',
};

const none = '–';

/** All runs of a part on one kernel together. */
interface Pool {
  readonly samples: readonly StrategySample[];
  readonly idle: readonly IdleSample[];
  readonly contenders: readonly string[];
}

type Value = (sample: StrategySample) => number;

export function strategiesMarkdown(results: readonly PartResult[]): string {
  const measured = results.filter(({ runs }) => runs.length > 0);
  const parts = [
    '# Registration strategies',
    'Over iSER at tgt, soft-RoCE. Medians of the rounds, with the lowest and the highest in brackets; pinned memory is the highest of all rounds: request memory / all that the kernel has pinned for the process, in MiB.',
    ...measured.flatMap(section),
  ];
  return `${parts.join('\n\n')}\n`;
}

function section(result: PartResult): string[] {
  const { part, runs } = result;
  const head = [`## ${partTitles[part]}, Linux ${runs[0].machine.kernel}`, headOf(result)];
  const pool = poolOf(runs);
  switch (part) {
    case 'strategies':
      return [...head, ...strategiesTables(pool)];
    case 'limits':
      return [...head, limitsTable(pool)];
    case 'volumes':
      return [...head, ...volumesTables(pool)];
    case 'registration':
      return [...head, registrationTable(runs)];
  }
}

function headOf({ part, quick, runs }: PartResult): string {
  const [{ machine, date, seconds }] = runs;
  const rounds = Math.max(0, ...runs.flatMap(({ samples }) => samples.map(({ round }) => round)));
  const troubles = new Set(
    runs.flatMap((run) =>
      run.troubles.map(({ contender, reason }) => `- **${contender}**: ${oneLine(reason)}`),
    ),
  );
  return [
    `${machine.kind}, ${machine.cpuCount} × ${machine.cpu}, ${machine.memoryMebibytes} MiB; iserd ${machine.commit}; begun ${date}${
      part === 'registration' ? '' : `; rounds: ${rounds}, ${seconds} s each`
    }.`,
    ...(quick ? ['**A quick run: its figures mean nothing.**'] : []),
    ...(troubles.size === 0 ? [] : ['', ...troubles]),
  ].join('\n');
}

function poolOf(runs: readonly StrategiesRun[]): Pool {
  const samples = runs.flatMap((run) => run.samples);
  const idle = runs.flatMap((run) => run.idle);
  const contenders = [...new Set([...idle, ...samples].map(({ contender }) => contender))];
  return { samples, idle, contenders };
}

type Text = (samples: StrategySample[], cell: Cell) => string;

/** A row for each workload, a column for each contender. */
function rows(pool: Pool, name: (cell: Cell) => string, text: Text): string[][] {
  return cellsOf(pool).map((cell) => [
    name(cell),
    ...pool.contenders.map((who) => text(samplesOf(pool, who, cell), cell)),
  ]);
}

function byContender(
  { contenders }: Pool,
  first: string,
  body: readonly (readonly string[])[],
): string {
  return markdownTable([first, ...contenders], body);
}

/** What a request gets and costs. */
function requestTables(pool: Pool): string[] {
  return [
    byContender(
      pool,
      'workload',
      rows(
        pool,
        (cell) => `${cellName(cell)}, ${mainMetric(cell).unit}`,
        (samples, cell) => median(samples, mainMetric(cell).value),
      ),
    ),
    byContender(
      pool,
      'CPU µs per request',
      rows(pool, cellName, (samples) => median(samples, cpuPerRequest)),
    ),
    byContender(
      pool,
      'registering, µs per request; misses per 1000 requests',
      rows(
        pool,
        cellName,
        (samples) =>
          `${median(samples, registrationPerRequest)}; ${median(samples, missesPerThousand)}`,
      ),
    ),
  ];
}

function strategiesTables(pool: Pool): string[] {
  return [
    ...requestTables(pool),
    byContender(pool, 'pinned, MiB', [
      ['started', ...pool.contenders.map((who) => idlePins(pool, who, 'start'))],
      ...rows(pool, cellName, pinsText),
      ['35 s later', ...pool.contenders.map((who) => idlePins(pool, who, 'later'))],
    ]),
  ];
}

function limitsTable(pool: Pool): string {
  const columns: readonly [title: string, value: Value][] = [
    ['IOPS', ({ iops }) => iops],
    ['mean latency, µs', ({ meanLatencyMicroseconds }) => meanLatencyMicroseconds],
    ['CPU µs per request', cpuPerRequest],
    ['hits, %', hitPercent],
    ['registering, µs per request', registrationPerRequest],
    ['evictions per request', ({ counters }) => counters.evictions / counters.requests],
    ['waits per request', ({ counters }) => counters.failures / counters.requests],
  ];
  return markdownTable(
    ['pin limit', ...columns.map(([title]) => title), 'pinned, MiB'],
    pool.contenders.map((who) => {
      const samples = pool.samples.filter(({ contender }) => contender === who);
      return [
        who.replace('-', ' '),
        ...columns.map(([, value]) => median(samples, value)),
        pinsText(samples),
      ];
    }),
  );
}

function volumesTables(pool: Pool): string[] {
  const pinned = cellsOf(pool).flatMap((cell) => [
    [
      `${cell.volumes}, started`,
      ...pool.contenders.map((who) => idlePins(pool, who, 'start', cell.volumes)),
    ],
    [
      `${cell.volumes}, under load`,
      ...pool.contenders.map((who) => pinsText(samplesOf(pool, who, cell))),
    ],
  ]);
  return [
    ...requestTables(pool),
    byContender(
      pool,
      'mean latency, µs',
      rows(pool, cellName, (samples) =>
        median(samples, ({ meanLatencyMicroseconds }) => meanLatencyMicroseconds),
      ),
    ),
    byContender(pool, 'volumes; pinned, MiB', pinned),
  ];
}

function registrationTable(runs: readonly StrategiesRun[]): string {
  const times = runs.flatMap((run) => run.times);
  const kinds = [...new Set(times.map(({ kind }) => kind))];
  const sizes = [...new Set(times.map(({ bytes }) => bytes))];
  return markdownTable(
    ['register / deregister, µs', ...kinds],
    sizes.map((size) => [
      sizeName(size),
      ...kinds.map((wanted) => {
        const found = times.filter(({ bytes, kind }) => bytes === size && kind === wanted);
        if (found.length === 0) return none;
        const registering = spread(found.map(({ registerMicroseconds: each }) => each)).median;
        const deregistering = spread(found.map(({ deregisterMicroseconds: each }) => each)).median;
        return `${figure(registering)} / ${figure(deregistering)}`;
      }),
    ]),
  );
}

/** What a workload is about: latency of one request, rate of small ones, bandwidth of large ones. */
function mainMetric({ depth, blockSize }: Cell): { readonly unit: string; readonly value: Value } {
  if (depth === 1)
    return {
      unit: 'mean latency, µs',
      value: ({ meanLatencyMicroseconds }) => meanLatencyMicroseconds,
    };
  return blockSize >= 2 ** 18
    ? { unit: 'MiB/s', value: ({ bytesPerSecond }) => bytesPerSecond / 2 ** 20 }
    : { unit: 'IOPS', value: ({ iops }) => iops };
}

function cpuPerRequest({ counters }: StrategySample): number {
  return counters.cpuMicroseconds / counters.requests;
}

function registrationPerRequest({ counters }: StrategySample): number {
  return counters.registrationMicroseconds / counters.requests;
}

function missesPerThousand({ counters }: StrategySample): number {
  return (1000 * counters.misses) / counters.requests;
}

function hitPercent({ counters: { hits, misses } }: StrategySample): number {
  return (100 * hits) / Math.max(1, hits + misses);
}

function median(samples: readonly StrategySample[], value: Value): string {
  if (samples.length === 0) return none;
  const all: Spread = spread(samples.map(value));
  return samples.length === 1 ? figure(all.median) : spreadText(all);
}

function pinsText(pins: readonly { readonly pins: Pins }[]): string {
  return highest(pins.map((each) => each.pins));
}

function idlePins({ idle }: Pool, who: string, when: IdleSample['moment'], count?: number): string {
  return highest(
    idle.filter(
      ({ contender, moment, volumes }) =>
        contender === who && moment === when && (count === undefined || volumes === count),
    ),
  );
}

function highest(pins: readonly Pins[]): string {
  if (pins.length === 0) return none;
  const mebibytes = (values: readonly number[]): string => figure(Math.max(...values) / 2 ** 20);
  return `${mebibytes(pins.map(({ pinnedBytes }) => pinnedBytes))} / ${mebibytes(
    pins.map(({ processPinnedBytes }) => processPinnedBytes),
  )}`;
}

function cellsOf({ samples }: Pool): Cell[] {
  return [...new Map(samples.map(({ cell }) => [cellName(cell), cell])).values()];
}

function samplesOf({ samples }: Pool, who: string, cell: Cell): StrategySample[] {
  const name = cellName(cell);
  return samples.filter((sample) => sample.contender === who && cellName(sample.cell) === name);
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('|', '\\|').slice(0, 300);
}
