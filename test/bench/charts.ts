/** A chart of the grid as a Vega-Lite specification: a row for each place, a column for each kind of I/O, a line for each server. */
import type { TopLevelSpec } from 'vega-lite';
import { parseLabel } from './field.ts';
import { metricScales } from './figures.ts';
import { axisTitles, type Chart } from './grid.ts';
import type { PlaceResult } from './results.ts';
import { findSummary } from './summary.ts';
import { patternNames, sizeName } from './workload.ts';

interface Look {
  readonly color: string;
  readonly dash: readonly number[];
  readonly shape: string;
}

/** The colours of Okabe and Ito, which people who confuse red and green tell apart too; transports differ in dashes and shapes. */
const serverColors: ReadonlyMap<string, string> = new Map([
  ['iserd', '#0072B2'],
  ['qemu-nbd', '#D55E00'],
  ['open-iscsi', '#009E73'],
  ['epoll', '#CC79A7'],
]);

const transportLooks: ReadonlyMap<string, Omit<Look, 'color'>> = new Map([
  ['iSER', { dash: [1, 0], shape: 'circle' }],
  ['TCP', { dash: [5, 3], shape: 'square' }],
]);
/** Of the place without a transport. */
const otherLook = { dash: [2, 2], shape: 'diamond' };

/** Variants of iserd, in their order: the rest of those colours. */
const variantColors = ['#0072B2', '#56B4E9', '#CC79A7', '#E69F00'];

function lookOf(label: string, labels: readonly string[]): Look {
  const { server, transport } = parseLabel(label);
  const variants = [...new Set(labels.map((each) => parseLabel(each).server))].filter(
    (name) => !serverColors.has(name),
  );
  const color = serverColors.get(server) ?? variantColors.at(variants.indexOf(server)) ?? '#000000';
  return { color, ...(transportLooks.get(transport) ?? otherLook) };
}

interface Point {
  readonly server: string;
  readonly color: string;
  readonly shape: string;
  readonly pattern: string;
  readonly x: number;
  readonly median: number;
  readonly minimum: number;
  readonly maximum: number;
}

function pointsOf(chart: Chart, result: PlaceResult): Point[] {
  const { divisor } = metricScales[chart.y];
  const labels = result.servers.map(({ label }) => label);
  return labels.flatMap((label) => {
    const { color, shape } = lookOf(label, labels);
    return chart.cells.flatMap((cell) => {
      const summary = findSummary(result.summaries, label, cell);
      if (summary === undefined) return [];
      const { median, minimum, maximum } = summary[chart.y];
      return {
        server: label,
        color,
        shape,
        pattern: patternNames[cell.pattern],
        x: cell[chart.x],
        median: median / divisor,
        minimum: minimum / divisor,
        maximum: maximum / divisor,
      };
    });
  });
}

function subtitle({ rounds, roundsDone, seconds, date, machine, quick }: PlaceResult): string {
  const done = roundsDone === rounds ? `${rounds}` : `${roundsDone} of ${rounds}`;
  const warning = quick ? ' · QUICK RUN, FIGURES MEAN NOTHING' : '';
  return `${machine.kind} · ${date.slice(0, 10)} · rounds: ${done}, ${seconds} s each${warning}`;
}

/** Undefined when nothing of it has been measured. */
export function chartSpec(chart: Chart, results: readonly PlaceResult[]): TopLevelSpec | undefined {
  const places = results
    .map((result) => ({ result, points: pointsOf(chart, result) }))
    .filter(({ points }) => points.length > 0);
  if (places.length === 0) return undefined;
  const present = new Set(places.flatMap(({ points }) => points.map(({ server }) => server)));
  // In the order of the place that has most of them.
  const labels = [...results]
    .sort((a, b) => b.servers.length - a.servers.length)
    .flatMap(({ servers }) => servers.map(({ label }) => label))
    .filter((label, index, all) => present.has(label) && all.indexOf(label) === index);
  const { betterIs } = metricScales[chart.y];
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    background: 'white',
    padding: 12,
    title: {
      text: chart.title,
      subtitle: `${betterIs === 'higher' ? 'Higher' : 'Lower'} is better. Lines: medians of the rounds; bands: lowest to highest.`,
      anchor: 'start',
      fontSize: 17,
      subtitleFontSize: 12,
      offset: 14,
    },
    vconcat: places.map(({ result, points }) => placeRow(chart, result, points, labels)),
    spacing: 28,
    resolve: { scale: { x: 'independent', y: 'independent' } },
    config: { view: { stroke: '#ddd' }, axis: { gridColor: '#eee' }, font: 'sans-serif' },
  } as TopLevelSpec;
}

/** All kinds of I/O of one place have the same scale, places have not. */
function placeRow(
  chart: Chart,
  result: PlaceResult,
  points: readonly Point[],
  labels: readonly string[],
): object {
  const { title, unit } = metricScales[chart.y];
  const looks = labels.map((label) => lookOf(label, labels));
  // Bands and points bear their looks themselves, so that the legend shows the lines alone.
  const scaled = (range: readonly unknown[]): object => ({
    field: 'server',
    type: 'nominal',
    scale: { domain: labels, range },
    legend: { title: 'server, transport', symbolType: 'stroke', symbolSize: 900 },
  });
  const fill = { field: 'color', type: 'nominal', scale: null };
  const quantity = {
    type: 'quantitative',
    scale: { type: chart.yIsLogarithmic ? 'log' : 'linear' },
  };
  const y = {
    ...quantity,
    field: 'median',
    title: `${title}${unit === '1/s' ? '' : ` (${unit})`}${chart.yIsLogarithmic ? ', log scale' : ''}`,
    axis: { format: unit === '1/s' ? '~s' : ',~f', tickCount: 6 },
  };
  return {
    title: { text: result.title, subtitle: subtitle(result), anchor: 'start', fontSize: 13 },
    data: { values: points },
    facet: {
      column: {
        field: 'pattern',
        type: 'nominal',
        title: null,
        sort: Object.values(patternNames),
        header: { labelFontSize: 12 },
      },
    },
    spec: {
      width: 300,
      height: 200,
      encoding: { x: xEncoding(chart, points) },
      layer: [
        {
          mark: { type: 'area', opacity: 0.18 },
          encoding: {
            y: { ...quantity, field: 'minimum' },
            y2: { field: 'maximum' },
            fill,
            detail: { field: 'server' },
          },
        },
        {
          mark: { type: 'line', strokeWidth: 2 },
          encoding: {
            y,
            color: scaled(looks.map((look) => look.color)),
            strokeDash: scaled(looks.map((look) => look.dash)),
          },
        },
        {
          mark: { type: 'point', size: 40, opacity: 1, strokeWidth: 0 },
          encoding: {
            y,
            fill,
            shape: { field: 'shape', type: 'nominal', scale: null },
          },
        },
      ],
    },
  };
}

function xEncoding(chart: Chart, points: readonly Point[]): object {
  const values = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const labels = values.map((value) => (chart.x === 'blockSize' ? sizeName(value) : `${value}`));
  return {
    field: 'x',
    type: 'quantitative',
    title: axisTitles[chart.x],
    // Every axis doubles or quadruples from step to step.
    scale: { type: 'log', base: 2, nice: false },
    axis: {
      values,
      labelExpr: `${JSON.stringify(labels)}[indexof(${JSON.stringify(values)}, datum.value)]`,
      labelAngle: chart.x === 'blockSize' ? -40 : 0,
      labelOverlap: false,
      labelFlush: false,
    },
  };
}
