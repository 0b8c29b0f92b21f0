/** What the comparison of registration strategies leaves: a JSON file for each part and kernel, one run after the other in it. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Measurement } from '../fio.ts';
import type { Cell } from '../grid.ts';
import type { Machine } from '../machine.ts';
import { resultsDirectory } from '../results.ts';
import type { PartName } from './plan.ts';

export interface Pins {
  /** Request memory, as the daemon reports it. */
  readonly pinnedBytes: number;
  /** All that the kernel has pinned for the process (VmPin): also what connections keep for headers and receives. */
  readonly processPinnedBytes: number;
}

/** Of a daemon, from its start. */
export interface Counters {
  readonly requests: number;
  readonly cpuMicroseconds: number;
  readonly hits: number;
  readonly misses: number;
  /** Requests that had to wait for a registration. */
  readonly failures: number;
  readonly evictions: number;
  readonly registrationMicroseconds: number;
}

export interface StrategySample extends Measurement {
  readonly contender: string;
  readonly cell: Cell;
  /** From 1. */
  readonly round: number;
  /** The measurement's, ramp and all. */
  readonly counters: Counters;
  /** The most at any time during the measurement. */
  readonly pins: Pins;
}

/** A daemon that has nothing to do: as it was started, or some time after its last request. */
export interface IdleSample extends Pins {
  readonly contender: string;
  readonly volumes: number;
  readonly moment: 'start' | 'later';
}

/** Of many registrations of the same size. */
export interface RegistrationTime {
  readonly bytes: number;
  readonly kind: 'pinned' | 'pinned, first touch' | 'on demand';
  readonly registerMicroseconds: number;
  readonly deregisterMicroseconds: number;
  readonly repetitions: number;
}

/** One guest's. */
export interface StrategiesRun {
  /** ISO 8601 */
  readonly date: string;
  readonly seconds: number;
  readonly machine: Machine;
  /** Who could not take part, and failed measurements. */
  readonly troubles: readonly { readonly contender: string; readonly reason: string }[];
  readonly samples: readonly StrategySample[];
  readonly idle: readonly IdleSample[];
  readonly times: readonly RegistrationTime[];
}

export interface PartResult {
  readonly part: PartName;
  readonly quick: boolean;
  readonly runs: readonly StrategiesRun[];
}

/** Where they go; in the guest a directory of the host's. */
export function strategiesDirectory(quick: boolean): string {
  if (process.env['ISERD_VM_OUT'] !== undefined) return resultsDirectory();
  const directory = join(resultsDirectory(), quick ? 'quick-strategies' : 'strategies');
  mkdirSync(directory, { recursive: true });
  return directory;
}

export function partPath(directory: string, part: PartName, kernel: string): string {
  return join(directory, `${part}-${kernel}.json`);
}

/** Of a part that has not been measured: no runs. */
export function loadPart(path: string, part: PartName, quick: boolean): PartResult {
  if (!existsSync(path)) return { part, quick, runs: [] };
  return JSON.parse(readFileSync(path, 'utf8')) as PartResult;
}

/** All at once: a run that is cut short leaves what it had at the last call. */
export function savePart(path: string, result: PartResult): void {
  writeFileSync(`${path}.new`, `${JSON.stringify(result, undefined, 1)}\n`);
  renameSync(`${path}.new`, path);
}

export function loadAll(directory: string): PartResult[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((name) => JSON.parse(readFileSync(join(directory, name), 'utf8')) as PartResult);
}

export function difference(after: Counters, before: Counters): Counters {
  return {
    requests: after.requests - before.requests,
    cpuMicroseconds: after.cpuMicroseconds - before.cpuMicroseconds,
    hits: after.hits - before.hits,
    misses: after.misses - before.misses,
    failures: after.failures - before.failures,
    evictions: after.evictions - before.evictions,
    registrationMicroseconds: after.registrationMicroseconds - before.registrationMicroseconds,
  };
}
