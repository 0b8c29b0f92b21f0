/** A failure as a file: enough to run the same input again, and to find it again by seed and iteration. */
import { readFileSync, writeFileSync } from 'node:fs';

export interface Reproducer {
  readonly target: string;
  readonly seed: number;
  readonly iteration: number;
  readonly hex: string;
  readonly error: string;
}

/** Returns the file's name. */
export function writeReproducer(directory: string, reproducer: Reproducer): string {
  const { target, seed, iteration } = reproducer;
  const path = `${directory}/fuzz-${target}-${seed}-${iteration}.json`;
  writeFileSync(path, `${JSON.stringify(reproducer, undefined, 2)}\n`);
  return path;
}

export function readReproducer(path: string): Reproducer {
  return JSON.parse(readFileSync(path, 'utf8')) as Reproducer;
}
