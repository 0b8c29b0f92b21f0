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
  readonly host?: PlaceResult | undefined;
  readonly guest?: PlaceResult | undefined;
  readonly hop?: PlaceResult | undefined;
  readonly tail?: PlaceResult | undefined;
  readonly strategies?: PartResult | undefined;
  readonly garbage?: { readonly rows: readonly GarbageRow[] } | undefined;
  readonly idleMemory?: { readonly ratios: readonly IdleMemoryRatio[] } | undefined;
}

export function loadMeasured(directory: string): Measured {
  const read = (path: string | undefined): unknown => {
    const file = join(directory, path ?? '');
    return path === undefined || !existsSync(file)
      ? undefined
      : JSON.parse(readFileSync(file, 'utf8'));
  };
  const strategies = existsSync(join(directory, 'strategies'))
    ? readdirSync(join(directory, 'strategies')).find((name) => /^strategies-.*\.json$/.test(name))
    : undefined;
  return {
    host: read('side-by-side/host.json'),
    guest: read('side-by-side/vm-tgt.json'),
    hop: read('side-by-side/hop.json'),
    tail: read('tail/host.json'),
    strategies: read(strategies === undefined ? undefined : `strategies/${strategies}`),
    garbage: read('garbage.json'),
    idleMemory: read('idle-memory.json'),
  } as Measured;
}
