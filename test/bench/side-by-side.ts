/** Measures several servers in one run, interleaved round by round, and prints medians with ratios to the last of them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { formatTable } from '../../daemon/cli/table.ts';
import { repository } from '../helpers/programs.ts';
import { cpuMicroseconds } from './cpu-time.ts';
import { measure, rampSeconds, type Measurement, type Place, type Workload } from './fio.ts';

export interface Server {
  readonly name: string;
  readonly place: Place;
  /** The process that serves, for its CPU time. */
  readonly pid: number;
}

interface Sample extends Measurement {
  /** Of the serving process, user and system. */
  readonly cpuMicrosecondsPerRequest: number;
}

export interface SideBySideOptions {
  readonly title: string;
  readonly servers: readonly Server[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  readonly seconds: number;
  readonly size: string;
  /** File name under test/bench/results/. */
  readonly result: string;
}

/** Where results go; in the VM a directory of the host's. */
export function resultsDirectory(): string {
  const directory = process.env['ISERD_VM_OUT'] ?? `${repository}test/bench/results`;
  mkdirSync(directory, { recursive: true });
  return directory;
}

export async function sideBySide(options: SideBySideOptions): Promise<void> {
  const { servers, workloads, rounds } = options;
  const samples = new Map<string, Sample[]>();
  for (let round = 0; round < rounds; round++) {
    for (const workload of workloads) {
      for (const server of servers) {
        const key = `${server.name}\n${workload.name}`;
        const sample = await sampleOf(server, workload, options);
        samples.set(key, [...(samples.get(key) ?? []), sample]);
      }
    }
  }
  const results = workloads.map((workload) => ({
    workload: workload.name,
    servers: servers.map((server) => ({
      name: server.name,
      ...summary(samples.get(`${server.name}\n${workload.name}`) ?? []),
    })),
  }));
  const baseline = servers.length - 1;
  const rows = results.map(({ workload, servers: measured }) => [
    workload,
    ...measured.map(
      ({
        iops,
        minimumIops,
        maximumIops,
        meanLatencyMicroseconds,
        p99LatencyMicroseconds,
        cpuMicrosecondsPerRequest,
      }) =>
        `${Math.round(iops)} (${Math.round(minimumIops)}-${Math.round(maximumIops)}) ` +
        `${meanLatencyMicroseconds.toFixed(0)}/${p99LatencyMicroseconds.toFixed(0)} us, ` +
        `CPU ${cpuMicrosecondsPerRequest.toFixed(1)} us`,
    ),
    ...measured.slice(0, -1).map(({ iops }) => (iops / measured[baseline].iops).toFixed(2)),
  ]);
  const header = [
    'workload',
    ...servers.map(({ name }) => `${name}: IOPS (min-max) mean/p99 latency, CPU per request`),
    ...servers.slice(0, -1).map(({ name }) => `${name} / ${servers[baseline].name}`),
  ];
  console.log(
    `${options.title}: medians of ${rounds} interleaved rounds of ${options.seconds} s\n`,
  );
  console.log(formatTable(header, rows));
  writeFileSync(
    `${resultsDirectory()}/${options.result}`,
    `${JSON.stringify({ title: options.title, rounds, seconds: options.seconds, results }, undefined, 2)}\n`,
  );
}

async function sampleOf(
  server: Server,
  workload: Workload,
  options: SideBySideOptions,
): Promise<Sample> {
  const before = cpuMicroseconds(server.pid);
  const measurement = await measure(server.place, workload, options);
  const used = cpuMicroseconds(server.pid) - before;
  // Requests of the ramp-up are served too, at about the same rate.
  const requests = measurement.iops * (options.seconds + rampSeconds);
  return { ...measurement, cpuMicrosecondsPerRequest: used / requests };
}

/** Of the round with the median IOPS. */
function summary(
  samples: readonly Sample[],
): Sample & { minimumIops: number; maximumIops: number } {
  const sorted = [...samples].sort((a, b) => a.iops - b.iops);
  return {
    ...sorted[Math.floor((sorted.length - 1) / 2)],
    minimumIops: sorted[0].iops,
    maximumIops: sorted[sorted.length - 1].iops,
  };
}
