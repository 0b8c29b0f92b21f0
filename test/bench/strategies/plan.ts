/** What the comparison of registration strategies measures, as data: parts, and who takes part in each. */
import type { Variant } from '../field.ts';
import type { Cell } from '../grid.ts';
import { sizeName, type Pattern } from '../workload.ts';

export const partNames = ['strategies', 'limits', 'volumes', 'registration'] as const;
export type PartName = (typeof partNames)[number];

/** A part in which daemons serve. */
export type LoadPart = Exclude<PartName, 'registration'>;

export interface Contender extends Variant {
  /** Only where the device has on-demand paging. */
  readonly isPaged: boolean;
}

const kibibyte = 2 ** 10;
const mebibyte = 2 ** 20;
const volumeCounts = [1, 8, 64];
/** From less than one request's share of a full queue of 64 KiB to more than the queue ever holds. */
const pinLimits = [512 * kibibyte, ...[1, 2, 4, 8, 64].map((count) => count * mebibyte)];

function strategy(name: string, more = ''): Contender {
  return {
    name,
    configuration: `[memory]\nregistration = "${name}"${more}`,
    isPaged: name === 'odp',
  };
}

const contenders: Readonly<Record<LoadPart, readonly Contender[]>> = {
  strategies: ['cache', 'static', 'copy', 'per-io', 'odp'].map((name) => strategy(name)),
  limits: pinLimits.map((bytes) => ({
    ...strategy('cache', `\npin_limit = ${bytes}`),
    name: sizeName(bytes).replace(' ', '-'),
  })),
  // What registers around every command pins what is in flight, however many volumes there are.
  volumes: ['cache', 'static', 'copy', 'odp'].map((name) => strategy(name)),
};

function cells(part: LoadPart, quick: boolean): Cell[] {
  const both: readonly Pattern[] = quick ? ['randread'] : ['randread', 'randwrite'];
  const cell = (pattern: Pattern, blockSize: number, depth: number): Cell => ({
    pattern,
    blockSize,
    depth,
    volumes: 1,
  });
  switch (part) {
    case 'strategies':
      return [
        ...[1, 32].flatMap((depth) => both.map((pattern) => cell(pattern, 4 * kibibyte, depth))),
        ...both.map((pattern) => cell(pattern, 256 * kibibyte, 8)),
      ];
    case 'limits':
      // Reads and writes need different rights, and so regions of their own.
      return [cell('randrw', 64 * kibibyte, 32)];
    case 'volumes':
      return (quick ? volumeCounts.slice(0, 2) : volumeCounts).map((volumes) => ({
        ...cell('randrw', 64 * kibibyte, 4),
        volumes,
      }));
  }
}

export interface Plan {
  readonly contenders: readonly Contender[];
  readonly cells: readonly Cell[];
}

export interface Selection {
  readonly quick: boolean;
  /** Part of the names of contenders; '' is all of them. */
  readonly only: string;
  /** 0: all counts. */
  readonly volumes: number;
}

export function planOf(part: LoadPart, { quick, only, volumes }: Selection): Plan {
  return {
    contenders: contenders[part].filter(({ name }) => name.includes(only)),
    cells: cells(part, quick).filter((cell) => volumes === 0 || cell.volumes === volumes),
  };
}
