/** Of the rounds of every server and workload: medians, how far apart the rounds lie, and changes against the first server of a transport. */
import { parseLabel } from '../field.ts';
import { spread, type Spread } from '../summary.ts';
import type { InstructionSample } from './samples.ts';

/** Instructions per request: of the process that serves, of all but the one that asks, of the whole machine. */
export const measures = {
  daemon: ({ daemon }: InstructionSample) => daemon,
  'all but fio': ({ machine, client }: InstructionSample) => machine - client,
  machine: ({ machine }: InstructionSample) => machine,
} as const;
export type MeasureName = keyof typeof measures;
export const measureNames = Object.keys(measures) as MeasureName[];

export interface Figure extends Spread {
  /** From the lowest round to the highest, as part of the median. */
  readonly apart: number;
  /** Of the median, against the first server over the same transport, as part of its median; absent for that one itself. */
  readonly change?: number;
}

export interface Row {
  readonly workload: string;
  readonly server: string;
  readonly figures: Readonly<Record<MeasureName, Figure>>;
}

/** Workload by workload; servers in the order of their first samples. */
export function compare(samples: readonly InstructionSample[]): Row[] {
  const labels = [...new Set(samples.map(({ server }) => server))];
  const workloads = [...new Set(samples.map(({ workload }) => workload))];
  return workloads.flatMap((workload) =>
    labels.flatMap((server) => {
      const find = (label: string): InstructionSample[] =>
        samples.filter((sample) => sample.server === label && sample.workload === workload);
      const own = find(server);
      if (own.length === 0) return [];
      const { transport } = parseLabel(server);
      const first = labels.find((label) => parseLabel(label).transport === transport) ?? server;
      const base = first === server ? [] : find(first);
      const figures = measureNames.map((name) => [
        name,
        figureOf(own.map(measures[name]), base.map(measures[name])),
      ]);
      return [{ workload, server, figures: Object.fromEntries(figures) as Row['figures'] }];
    }),
  );
}

function figureOf(values: readonly number[], base: readonly number[]): Figure {
  const own = spread(values);
  const apart = (own.maximum - own.minimum) / own.median;
  if (base.length === 0) return { ...own, apart };
  return { ...own, apart, change: own.median / spread(base).median - 1 };
}
