/** What a run leaves: every measurement, and where it was made. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Machine } from '../machine.ts';
import type { Costs } from './counters.ts';
import type { Tree } from './options.ts';

/** Medians of the passes. */
export interface InstructionSample extends Costs {
  /** "iserd TCP", with several trees "iserd NAME TCP". */
  readonly server: string;
  readonly workload: string;
  /** From 1. */
  readonly round: number;
  readonly passes: readonly Costs[];
}

export interface InstructionResult {
  /** ISO 8601, when the measurement began. */
  readonly date: string;
  readonly machine: Machine;
  readonly trees: readonly Tree[];
  /** Of 4 KiB, in one pass. */
  readonly requests: number;
  readonly samples: readonly InstructionSample[];
  /** What servers complained of, or why they could not be measured, one line each. */
  readonly troubles: readonly string[];
}

const fileName = 'instructions.json';

export function saveResult(directory: string, result: InstructionResult): void {
  const path = join(directory, fileName);
  writeFileSync(`${path}.new`, `${JSON.stringify(result, undefined, 1)}\n`);
  renameSync(`${path}.new`, path);
}

export function loadResult(directory: string): InstructionResult {
  return JSON.parse(readFileSync(join(directory, fileName), 'utf8')) as InstructionResult;
}
