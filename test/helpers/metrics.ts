/** Metrics in the text format of Prometheus, as a test looks at them. */
import type { DaemonSnapshot, VolumeSnapshot } from '../../daemon/metrics/snapshot.ts';
import { sumSessions } from '../../daemon/statistics/totals.ts';
import { emptySnapshot } from '../../src/histogram.ts';
import { histogramOf } from './durations.ts';
import { repository, run, type Finished } from './programs.ts';
import { laneStatistics, registrationReport, sessionStatistics } from './statistics.ts';

/** Every sample by its name with labels: `iserd_volume_state{volume="data",state="serving"}`. */
export function parseMetrics(text: string): ReadonlyMap<string, number> {
  const samples = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line): [string, number] => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space), Number(line.slice(space + 1).replace('Inf', 'Infinity'))];
    });
  return new Map(samples);
}

/** promtool, from test/promtool.sh; `argv` with the path of a file, or standard input from one. */
export function promtool(...argv: readonly string[]): Promise<Finished> {
  return run(`${repository}test/promtool.sh`, argv, { cwd: repository });
}

/** `promtool check metrics` reads standard input. */
export function checkMetrics(file: string): Promise<Finished> {
  return run('bash', [
    '-c',
    '"$1" check metrics <"$2"',
    'sh',
    `${repository}test/promtool.sh`,
    file,
  ]);
}

export function volumeSnapshot(more: Partial<VolumeSnapshot> = {}): VolumeSnapshot {
  const read = histogramOf([20, 40, 100_000]).snapshot();
  const latencies = { read, write: emptySnapshot, flush: emptySnapshot, other: emptySnapshot };
  const session = sessionStatistics({
    reads: 3,
    bytesRead: 4096,
    trims: 2,
    inFlight: 5,
    latencies,
    errorsByReason: { 'device-failed': 7 },
    commandFailures: { 'medium-error': 7 },
    connectionsLost: { 'nop-timeout': 1 },
    loginFailures: { 'no-portal': 4 },
    clientEnds: { 'peer-closed': 9 },
    commands: { sent: 11, abortTasks: 1 },
  });
  return {
    name: 'data',
    state: 'serving',
    target: 'iqn.2026-11.test:disk',
    lun: 1,
    transport: 'tcp',
    device: '/dev/nbd0',
    sizeBytes: 2 ** 30,
    sessions: 2,
    sessionsUp: 1,
    totals: sumSessions([session]),
    ...more,
  };
}

/** A daemon that has something of everything. */
export function daemonSnapshot(
  volumes: readonly VolumeSnapshot[] = [volumeSnapshot()],
): DaemonSnapshot {
  const statistics = laneStatistics({
    arenaBytes: 2 ** 28,
    loopLagMs: 2,
    registrations: [registrationReport()],
    sessions: [sessionStatistics({ reads: 3, writes: 4, others: 5 })],
  });
  return {
    version: '1.2.3',
    nodeVersion: 'v20.0.0',
    process: { cpuSeconds: 1.5, residentBytes: 1e8, openFds: 30, startSeconds: 1.7e9 },
    volumes,
    lanes: [
      { latest: { atMs: 0, statistics }, silentMs: 250 },
      { latest: undefined, silentMs: 3000 },
    ],
  };
}
