/** What is measured: the cells of the six charts, of the side-by-side table, of the tail of the latencies. */
import { patternNames, sizeName, workloadName, type Pattern, type Workload } from './workload.ts';

/** A workload on so many volumes at once. */
export interface Cell extends Workload {
  readonly volumes: number;
}

export type Metric = 'iops' | 'bytesPerSecond' | 'meanLatencyMicroseconds';
export type Axis = 'depth' | 'blockSize' | 'volumes';

export interface Chart {
  /** Name of its file, too. */
  readonly id: string;
  readonly title: string;
  readonly x: Axis;
  readonly y: Metric;
  /** Where small and large values differ by orders of magnitude and both matter. */
  readonly yIsLogarithmic?: boolean;
  readonly cells: readonly Cell[];
}

export const gridNames = ['charts', 'side-by-side', 'tail'] as const;
export type GridName = (typeof gridNames)[number];

export interface Grid {
  readonly charts: readonly Chart[];
  /** Each once, however many charts show it. */
  readonly cells: readonly Cell[];
}

const kibibyte = 2 ** 10;
const pageSize = 4 * kibibyte;

const axes = {
  depth: [1, 2, 4, 8, 16, 32, 64],
  blockSize: [512, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576],
  volumes: [1, 2, 4, 8],
} as const;
const middleDepth = 8;

/** A mean of mixed latencies or sizes says little; a rate of mixed requests is what virtual machines ask for. */
const mixedToo: readonly Pattern[] = ['randread', 'randwrite', 'randrw'];
const readAndWrite: readonly Pattern[] = ['randread', 'randwrite'];

/** In the quick grid an axis consists of its two ends, where things break, and what is not the depth is only read. */
function cellsAlong(
  axis: Axis,
  patterns: readonly Pattern[],
  rest: Omit<Cell, Axis | 'pattern'> & Partial<Cell>,
  quick: boolean,
): Cell[] {
  const steps: readonly number[] = quick ? [axes[axis][0], axes[axis].at(-1) ?? 0] : axes[axis];
  const chosen = quick && axis !== 'depth' ? patterns.slice(0, 1) : patterns;
  const base = { blockSize: pageSize, depth: middleDepth, volumes: 1, ...rest };
  return chosen.flatMap((pattern) =>
    steps.map((step): Cell => ({ ...base, pattern, [axis]: step })),
  );
}

/** The six charts. */
export function charts(quick = false): Chart[] {
  const byDepth = cellsAlong('depth', mixedToo, { blockSize: pageSize }, quick);
  return [
    {
      id: 'iops-by-depth',
      title: 'IOPS by I/O depth, 4 KiB',
      x: 'depth',
      y: 'iops',
      cells: byDepth,
    },
    {
      id: 'bandwidth-by-block-size',
      title: `Bandwidth by block size, depth ${middleDepth}`,
      x: 'blockSize',
      y: 'bytesPerSecond',
      yIsLogarithmic: true,
      cells: cellsAlong('blockSize', readAndWrite, { depth: middleDepth }, quick),
    },
    {
      id: 'latency-by-depth',
      title: 'Mean latency by I/O depth, 4 KiB',
      x: 'depth',
      y: 'meanLatencyMicroseconds',
      cells: byDepth,
    },
    {
      id: 'latency-by-block-size',
      title: 'Mean latency by block size, depth 1',
      x: 'blockSize',
      y: 'meanLatencyMicroseconds',
      yIsLogarithmic: true,
      cells: cellsAlong('blockSize', readAndWrite, { depth: 1 }, quick),
    },
    {
      id: 'bandwidth-by-volumes',
      title: `Bandwidth by volumes, each with its own fio, 256 KiB, depth ${middleDepth}`,
      x: 'volumes',
      y: 'bytesPerSecond',
      cells: cellsAlong('volumes', readAndWrite, { blockSize: 256 * kibibyte }, quick),
    },
    {
      id: 'iops-by-volumes',
      title: `IOPS by volumes, each with its own fio, 4 KiB, depth ${middleDepth}`,
      x: 'volumes',
      y: 'iops',
      cells: cellsAlong('volumes', mixedToo, { blockSize: pageSize }, quick),
    },
  ];
}

/** One request in flight, many, and large ones. */
function sideBySideCells(): Cell[] {
  const cell = (pattern: Pattern, blockSize: number, depth: number): Cell => ({
    pattern,
    blockSize,
    depth,
    volumes: 1,
  });
  return [
    ...[1, 32].flatMap((depth) => readAndWrite.map((pattern) => cell(pattern, pageSize, depth))),
    ...[64, 256, 1024].flatMap((kibibytes) =>
      (['read', 'write'] as const).map((pattern) =>
        cell(pattern, kibibytes * kibibyte, middleDepth),
      ),
    ),
  ];
}

/** What ten minutes of a service's life are measured by. */
const tailCell: Cell = { pattern: 'randrw', blockSize: pageSize, depth: middleDepth, volumes: 1 };

export function grid(name: GridName, quick: boolean): Grid {
  if (name === 'tail') return { charts: [], cells: [tailCell] };
  if (name === 'side-by-side') {
    const cells = sideBySideCells();
    return { charts: [], cells: quick ? [cells[0], cells[cells.length - 1]] : cells };
  }
  const all = charts(quick);
  const cells = new Map(all.flatMap((chart) => chart.cells).map((cell) => [cellName(cell), cell]));
  return { charts: all, cells: [...cells.values()] };
}

/** "4 KiB random read QD8, 2 volumes": the same cell has the same name. */
export function cellName(cell: Cell): string {
  const name = workloadName(cell);
  return cell.volumes === 1 ? name : `${name}, ${cell.volumes} volumes`;
}

export const axisTitles: Readonly<Record<Axis, string>> = {
  depth: 'I/O depth (requests in flight)',
  blockSize: 'block size',
  volumes: 'volumes',
};

/** "random write, 16 KiB": where the cell is on the chart's axis. */
export function rowName(cell: Cell, axis: Axis): string {
  const step = axis === 'blockSize' ? sizeName(cell.blockSize) : `${cell[axis]}`;
  return `${patternNames[cell.pattern]}, ${axis === 'blockSize' ? '' : `${axis} `}${step}`;
}
