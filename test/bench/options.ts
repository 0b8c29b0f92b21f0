import { parseArgs } from 'node:util';
import { fieldNames, type FieldName } from './field.ts';
import type { GridName } from './grid.ts';
import { placeNames, type PlaceName } from './places.ts';
import type { RunOptions } from './results.ts';

export const usage = `npm run bench -- [OPTION]...
  --place host|vm|vm-tgt|vm-lio|all   where to measure (default all)
  --grid charts|side-by-side          the six charts (default), or six workloads in one table
  --field peers|polling|registration  who: iserd and its peers (default), or ways to configure iserd
  --rounds N                          default 3
  --seconds N                         of one measurement, default 3
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
  return {
    places: placesOf(values.place),
    grid: gridOf(values.grid),
    field: fieldOf(values.field),
    quick,
    rounds: count('rounds', values.rounds, quick ? 1 : 3),
    seconds: count('seconds', values.seconds, quick ? 1 : 3),
    chartsOnly: values['charts-only'],
  };
}

function placesOf(text: string): PlaceName[] {
  const places = placeNames.filter(
    (name) => text === 'all' || name === text || name.startsWith(`${text}-`),
  );
  if (places.length === 0) throw new Error(`--place: "${text}" is no place`);
  return places;
}

function gridOf(text: string): GridName {
  if (text === 'charts' || text === 'side-by-side') return text;
  throw new Error(`--grid: "${text}" is no grid`);
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
