/** Runs fio and reads its JSON: one workload on one disk or several, each with a process of its own. */
import { runOk } from '../helpers/programs.ts';
import { mixedReadPercent, type Workload } from './workload.ts';

/** Where the I/O goes: an NBD URI (fio's nbd engine) or a block device (libaio, O_DIRECT). */
export type Disk = { readonly uri: string } | { readonly device: string };

/** Of all disks together. */
export interface Measurement {
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly meanLatencyMicroseconds: number;
  /** Of the disk with the highest. */
  readonly p99LatencyMicroseconds: number;
  /** Of the disk with the highest. */
  readonly p999LatencyMicroseconds: number;
}

export interface FioOptions {
  readonly seconds: number;
  /** In fio's notation: 64m. */
  readonly size: string;
  readonly offset?: string;
}

interface FioSide {
  readonly iops: number;
  readonly bw_bytes: number;
  readonly total_ios: number;
  /** From before submission to completion: what a kernel device does on the way may all happen in the system call that submits. */
  readonly lat_ns: {
    readonly mean: number;
    readonly percentile?: Readonly<Record<string, number>>;
  };
}

/** How long fio runs before the measurement begins, which lasts for so many seconds. */
export function rampSeconds(seconds: number): number {
  return Math.min(0.5, seconds / 4);
}

/** Beyond the time of the measurement: fio's start in an emulated guest, requests that a slow server still owes. */
const graceMs = 60_000;

export async function measure(
  disks: readonly Disk[],
  workload: Workload,
  options: FioOptions,
): Promise<Measurement> {
  const timeoutMs = (rampSeconds(options.seconds) + options.seconds) * 1000 + graceMs;
  const output = await withDeadline(
    runOk('fio', fioArguments(disks, workload, options), { timeoutMs }),
    // After SIGKILL a fio whose request never ends stays all the same.
    timeoutMs + 5_000,
  );
  const { jobs } = JSON.parse(output.slice(output.indexOf('{'))) as {
    jobs: { read: FioSide; write: FioSide }[];
  };
  const sides = jobs.flatMap(({ read, write }) => [read, write]);
  return sumOf(sides.filter((side) => side.total_ios > 0));
}

/** What precedes the first job holds for all of them; fio starts them at the same time. */
export function fioArguments(
  disks: readonly Disk[],
  workload: Workload,
  options: FioOptions,
): string[] {
  return [
    `--rw=${workload.pattern}`,
    `--rwmixread=${mixedReadPercent}`,
    `--bs=${workload.blockSize}`,
    `--iodepth=${workload.depth}`,
    `--size=${options.size}`,
    `--offset=${options.offset ?? '0'}`,
    `--runtime=${options.seconds}`,
    '--time_based=1',
    `--ramp_time=${rampSeconds(options.seconds) * 1000}ms`,
    '--randrepeat=0',
    '--norandommap=1',
    '--lat_percentiles=1',
    '--clat_percentiles=0',
    '--output-format=json',
    ...disks.flatMap((disk, index) => [
      `--name=volume${index}`,
      ...('uri' in disk
        ? ['--ioengine=nbd', `--uri=${disk.uri}`]
        : ['--ioengine=libaio', '--direct=1', `--filename=${disk.device}`]),
    ]),
  ];
}

/** Mean latencies count by their requests. */
export function sumOf(sides: readonly FioSide[]): Measurement {
  const iops = sides.reduce((sum, side) => sum + side.iops, 0);
  if (iops === 0) throw new Error('no request was answered');
  return {
    iops,
    bytesPerSecond: sides.reduce((sum, side) => sum + side.bw_bytes, 0),
    meanLatencyMicroseconds:
      sides.reduce((sum, side) => sum + side.lat_ns.mean * side.iops, 0) / iops / 1000,
    p99LatencyMicroseconds: highest(sides, '99.000000'),
    p999LatencyMicroseconds: highest(sides, '99.900000'),
  };
}

/** `percentile` as fio writes it. */
function highest(sides: readonly FioSide[], percentile: string): number {
  return Math.max(...sides.map((side) => side.lat_ns.percentile?.[percentile] ?? 0)) / 1000;
}

async function withDeadline<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`fio has not ended after ${timeoutMs / 1000} s`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
