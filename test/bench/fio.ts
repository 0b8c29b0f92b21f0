/** Runs fio and reads its JSON: one workload against one server. */
import { runOk } from '../helpers/programs.ts';

export interface Workload {
  readonly name: string;
  readonly rw: 'randread' | 'randwrite' | 'read' | 'write' | 'randrw';
  readonly blockSize: string;
  readonly depth: number;
  /** Of a mixed workload. */
  readonly readPercent?: number;
}

/** Where the I/O goes: an NBD URI (fio's nbd engine) or a block device (libaio, O_DIRECT). */
export type Place = { readonly uri: string } | { readonly device: string };

export interface Measurement {
  readonly iops: number;
  readonly bytesPerSecond: number;
  readonly meanLatencyMicroseconds: number;
  readonly p99LatencyMicroseconds: number;
}

interface FioSide {
  readonly iops: number;
  readonly bw_bytes: number;
  readonly total_ios: number;
  readonly clat_ns: {
    readonly mean: number;
    readonly percentile?: Readonly<Record<string, number>>;
  };
}

/** Runs before the measurement begins. */
export const rampSeconds = 1;

/** The six workloads of the side-by-side tables. */
export const sideBySideWorkloads: readonly Workload[] = [
  { name: '4 KiB random read QD1', rw: 'randread', blockSize: '4k', depth: 1 },
  { name: '4 KiB random write QD1', rw: 'randwrite', blockSize: '4k', depth: 1 },
  { name: '4 KiB random read QD32', rw: 'randread', blockSize: '4k', depth: 32 },
  { name: '4 KiB random write QD32', rw: 'randwrite', blockSize: '4k', depth: 32 },
  { name: '256 KiB read QD8', rw: 'read', blockSize: '256k', depth: 8 },
  { name: '256 KiB write QD8', rw: 'write', blockSize: '256k', depth: 8 },
];

export async function measure(
  place: Place,
  workload: Workload,
  options: { readonly seconds: number; readonly size: string; readonly offset?: string },
): Promise<Measurement> {
  const where =
    'uri' in place
      ? ['--ioengine=nbd', `--uri=${place.uri}`]
      : ['--ioengine=libaio', '--direct=1', `--filename=${place.device}`];
  const output = await runOk('fio', [
    '--name=bench',
    ...where,
    `--rw=${workload.rw}`,
    `--bs=${workload.blockSize}`,
    `--iodepth=${workload.depth}`,
    `--size=${options.size}`,
    ...(workload.readPercent === undefined ? [] : [`--rwmixread=${workload.readPercent}`]),
    `--offset=${options.offset ?? '0'}`,
    `--runtime=${options.seconds}`,
    '--time_based=1',
    `--ramp_time=${rampSeconds}`,
    '--randrepeat=0',
    '--norandommap=1',
    '--output-format=json',
  ]);
  const { jobs } = JSON.parse(output.slice(output.indexOf('{'))) as {
    jobs: { read: FioSide; write: FioSide }[];
  };
  const sides = [jobs[0].read, jobs[0].write].filter((side) => side.total_ios > 0);
  const iops = sides.reduce((sum, side) => sum + side.iops, 0);
  return {
    iops,
    bytesPerSecond: sides.reduce((sum, side) => sum + side.bw_bytes, 0),
    meanLatencyMicroseconds:
      sides.reduce((sum, side) => sum + side.clat_ns.mean * side.iops, 0) / iops / 1000,
    p99LatencyMicroseconds:
      Math.max(...sides.map((side) => side.clat_ns.percentile?.['99.000000'] ?? 0)) / 1000,
  };
}
