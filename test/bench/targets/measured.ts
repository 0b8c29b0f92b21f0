/** The result files that the targets are read from. What has not been measured is absent. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { PlaceResult } from '../results.ts';
import type { PartResult } from '../strategies/results.ts';

export interface GarbageRow {
  readonly device: string;
  readonly workload: string;
  readonly scavengesPerMillion: number;
  readonly markCompactsPerMillion: number;
}

export interface IdleMemoryRatio {
  readonly volumes: number;
  readonly rss: number;
}

export interface Measured {
  readonly host?: PlaceResult;
  readonly guest?: PlaceResult;
  readonly hop?: PlaceResult;
  readonly tail?: PlaceResult;
  readonly strategies?: PartResult;
  readonly garbage?: { readonly rows: readonly GarbageRow[] };
  readonly idleMemory?: { readonly ratios: readonly IdleMemoryRatio[] };
}

export function loadMeasured(directory: string): Measured {
  const strategies = join(directory, 'strategies');
  const part = existsSync(strategies)
    ? readdirSync(strategies).find((name) => /^strategies-.*\.json$/.test(name))
    : undefined;
  return {
    ...read(directory, 'host', 'side-by-side/host.json'),
    ...read(directory, 'guest', 'side-by-side/vm-tgt.json'),
    ...read(directory, 'hop', 'side-by-side/hop.json'),
    ...read(directory, 'tail', 'tail/host.json'),
    ...(part === undefined ? {} : read(directory, 'strategies', `strategies/${part}`)),
    ...read(directory, 'garbage', 'garbage.json'),
    ...read(directory, 'idleMemory', 'idle-memory.json'),
  };
}

function read<Name extends keyof Measured>(
  directory: string,
  name: Name,
  path: string,
): Pick<Measured, Name> | Record<string, never> {
  const file = join(directory, path);
  if (!existsSync(file)) return {};
  return { [name]: JSON.parse(readFileSync(file, 'utf8')) as Measured[Name] } as Pick<
    Measured,
    Name
  >;
}
