import { parseArgs } from 'node:util';
import { fieldNames, type FieldName } from './field.ts';
import { gridNames, type GridName } from './grid.ts';
import { placeNames, targetPlaceNames, type PlaceName } from './places.ts';
import type { RunOptions } from './results.ts';

export const usage = `npm run bench -- [OPTION]...
  --place host|vm|vm-tgt|vm-lio|all   where to measure (default all)
  --place hop                         the NBD hop alone, beside a minimal server in C
  --grid charts|side-by-side|tail     the six charts (default), ten workloads in one table, or 4 KiB 70:30 QD8 for ten minutes
  --field peers|polling               who: iserd and its peers (default), or ways to configure iserd
  --rounds N                          default 3; tail: 10
  --seconds N                         of one measurement, default 3; tail: 60
  --quick                             the ends of every axis, one round of 1 s: to try the whole way, not for its figures
  --charts-only                       tables and charts again from the JSON of the last run`;

export interface BenchOptions extends RunOptions {
  readonly places: readonly PlaceName[];
  readonly chartsOnly: boolean;
}

/** @throws Error that names the option */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      place: { type: 'string', default: 'all' },
      grid: { type: 'string', default: 'charts' },
      field: { type: 'string', default: 'peers' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      quick: { type: 'boolean', default: false },
      'charts-only': { type: 'boolean', default: false },
    },
  });
  const { quick } = values;
  const gridName = gridOf(values.grid);
  const usual = usualLength(gridName, quick);
  const places = placesOf(values.place);
  const field = fieldOf(values.field);
  if (places.includes('hop') && field !== 'peers')
    throw new Error(`--field: place hop has no "${field}"`);
  return {
    places,
    grid: gridName,
    field,
    quick,
    rounds: count('rounds', values.rounds, usual.rounds),
    seconds: count('seconds', values.seconds, usual.seconds),
    chartsOnly: values['charts-only'],
  };
}

function placesOf(text: string): PlaceName[] {
  if (text === 'all') return [...targetPlaceNames];
  const places = placeNames.filter((name) => name === text || name.startsWith(`${text}-`));
  if (places.length === 0) throw new Error(`--place: "${text}" is no place`);
  return places;
}

function gridOf(text: string): GridName {
  const found = gridNames.find((name) => name === text);
  if (found === undefined) throw new Error(`--grid: "${text}" is no grid`);
  return found;
}

function usualLength(name: GridName, quick: boolean): Pick<RunOptions, 'rounds' | 'seconds'> {
  if (quick) return { rounds: 1, seconds: 1 };
  return name === 'tail' ? { rounds: 10, seconds: 60 } : { rounds: 3, seconds: 3 };
}

function fieldOf(text: string): FieldName {
  const found = fieldNames.find((name) => name === text);
  if (found === undefined) throw new Error(`--field: "${text}" is no field`);
  return found;
}

function count(name: string, text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`--${name}: "${text}" is no count`);
  return Number(text);
}
