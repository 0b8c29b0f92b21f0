/** What a run leaves: one JSON file per place with everything measured there, in a directory per grid. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../helpers/programs.ts';
import type { FieldName } from './field.ts';
import type { Measurement } from './fio.ts';
import type { Cell, GridName } from './grid.ts';
import type { Machine } from './machine.ts';
import type { Summary } from './summary.ts';

export interface RunOptions {
  readonly grid: GridName;
  readonly field: FieldName;
  /** A small grid for trying the whole way; its figures mean nothing. */
  readonly quick: boolean;
  readonly rounds: number;
  /** Of one measurement, without fio's ramp. */
  readonly seconds: number;
}

export type RunKind = Pick<RunOptions, 'grid' | 'field' | 'quick'>;

export interface ServerState {
  /** "iserd iSER" */
  readonly label: string;
  /** Why there are no figures, or none from some point on. */
  readonly error?: string;
  /** What it said on standard error: a connection lost and found again belongs to the figures. */
  readonly complaints?: string;
}

export interface Failure {
  readonly server: string;
  readonly cell: Cell;
  readonly round: number;
  readonly error: string;
}

export interface Sample extends Measurement {
  readonly server: string;
  readonly cell: Cell;
  /** From 1. */
  readonly round: number;
  /** Of the serving processes, user and system, per request; absent for what the kernel serves. */
  readonly cpuMicrosecondsPerRequest?: number;
}

export interface PlaceResult extends RunOptions {
  readonly place: string;
  readonly title: string;
  /** ISO 8601, when the measurement began. */
  readonly date: string;
  /** Rounds that all servers have been through. */
  readonly roundsDone: number;
  readonly volumeMebibytes: number;
  readonly machine: Machine;
  readonly servers: readonly ServerState[];
  readonly samples: readonly Sample[];
  readonly failures: readonly Failure[];
  readonly summaries: readonly Summary[];
}

/** Where results go; in the VM a directory of the host's. */
export function resultsDirectory(): string {
  const directory = process.env['ISERD_VM_OUT'] ?? `${repository}test/bench/results`;
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** Of one kind of run on the host, so that trying something never overwrites figures that mean something. */
export function runDirectory({ grid, field, quick }: RunKind): string {
  const words = [...(quick ? ['quick'] : []), ...(field === 'peers' ? [] : [field]), grid];
  const directory = join(resultsDirectory(), words.join('-'));
  mkdirSync(directory, { recursive: true });
  return directory;
}

/** All at once: a run that is cut short leaves what it had at the last call. */
export function save(directory: string, result: PlaceResult): void {
  const path = join(directory, `${result.place}.json`);
  writeFileSync(`${path}.new`, `${JSON.stringify(result, undefined, 1)}\n`);
  renameSync(`${path}.new`, path);
}

/** Of the places that have been measured. */
export function load(directory: string, places: readonly string[]): PlaceResult[] {
  return places
    .map((place) => join(directory, `${place}.json`))
    .filter((path) => existsSync(path))
    .map((path) => JSON.parse(readFileSync(path, 'utf8')) as PlaceResult);
}
