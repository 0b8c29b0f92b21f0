import { parseArgs } from 'node:util';
import { partNames, type PartName, type Selection } from './plan.ts';

export const usage = `node --import tsx test/bench/strategies.ts [OPTION]...
  --part strategies|limits|volumes|registration|all   default all; each in a guest of its own
  --only WORD      only contenders whose names have this in them
  --volumes N      only cells with so many volumes
  --rounds N       default 3
  --seconds N      of one measurement, default 3
  --add            further rounds, to those that were measured before on the same kernel
  --quick          few cells, one round of 1 s: to try the way, not for its figures
  --table-only     the table again from the JSON`;

export interface StrategiesOptions extends Selection {
  readonly parts: readonly PartName[];
  readonly rounds: number;
  /** Of one measurement, without fio's ramp. */
  readonly seconds: number;
  /** To the rounds that there are. */
  readonly add: boolean;
  readonly tableOnly: boolean;
}

/** One part, as the guest is told. */
export interface GuestPart extends Selection {
  readonly part: PartName;
  readonly commit: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly add: boolean;
}

/** @throws Error that names the option */
export function parseStrategiesOptions(argv: readonly string[]): StrategiesOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      part: { type: 'string', default: 'all' },
      only: { type: 'string', default: '' },
      volumes: { type: 'string', default: '0' },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      add: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      'table-only': { type: 'boolean', default: false },
    },
  });
  const { only, add, quick } = values;
  const usual = quick ? '1' : '3';
  return {
    parts: partsOf(values.part),
    only,
    volumes: count('volumes', values.volumes),
    rounds: count('rounds', values.rounds ?? usual),
    seconds: count('seconds', values.seconds ?? usual),
    add,
    quick,
    tableOnly: values['table-only'],
  };
}

function partsOf(text: string): PartName[] {
  const parts = partNames.filter((name) => text === 'all' || name === text);
  if (parts.length === 0) throw new Error(`--part: "${text}" is no part`);
  return parts;
}

function count(name: string, text: string): number {
  if (!/^\d{1,4}$/.test(text)) throw new Error(`--${name}: "${text}" is no count`);
  return Number(text);
}
