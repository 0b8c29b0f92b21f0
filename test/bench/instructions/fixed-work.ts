/** Runs fio for fixed numbers of requests, the same ones every time, and counts what they cost. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOk } from '../../helpers/programs.ts';
import type { Workload } from '../workload.ts';
import { costsBetween, countersCommand, parseCounters, type Costs } from './counters.ts';

export interface FixedWork extends Workload {
  readonly requests: number;
}

export interface WorkPlace {
  readonly device: string;
  readonly deviceMebibytes: number;
  readonly daemonPids: readonly number[];
  /** For fio's files. */
  readonly directory: string;
}

/** One after the other, by one fio. */
export async function costsOf(works: readonly FixedWork[], place: WorkPlace): Promise<Costs[]> {
  const { directory } = place;
  const output = await runOk('fio', fixedWorkArguments(works, place), {
    cwd: directory,
    timeoutMs: 600_000,
  });
  const { jobs } = JSON.parse(output.slice(output.indexOf('{'))) as {
    jobs: { read: { total_ios: number }; write: { total_ios: number } }[];
  };
  return works.map(({ requests }, index) => {
    const { read, write } = jobs[index];
    const done = read.total_ios + write.total_ios;
    if (done !== requests) throw new Error(`${done} requests instead of ${requests}`);
    const [before, after] = ['prerun', 'postrun'].map((moment) =>
      parseCounters(readFileSync(join(directory, `${jobName(index)}.${moment}.txt`), 'utf8')),
    );
    return costsBetween(before, after, done);
  });
}

/** What precedes the first job holds for all of them. */
export function fixedWorkArguments(
  works: readonly FixedWork[],
  { device, deviceMebibytes, daemonPids }: WorkPlace,
): string[] {
  const command = countersCommand(daemonPids);
  return [
    `--filename=${device}`,
    `--size=${deviceMebibytes}m`,
    '--ioengine=libaio',
    '--direct=1',
    '--randrepeat=1',
    '--norandommap=1',
    `--exec_prerun=${command}`,
    `--exec_postrun=${command}`,
    '--output-format=json',
    ...works.flatMap(({ pattern, blockSize, depth, requests }, index) => [
      `--name=${jobName(index)}`,
      '--stonewall',
      `--rw=${pattern}`,
      `--bs=${blockSize}`,
      `--iodepth=${depth}`,
      `--io_size=${requests * blockSize}`,
    ]),
  ];
}

/** Part of the names of the files that fio leaves. */
function jobName(index: number): string {
  return `work${index}`;
}
