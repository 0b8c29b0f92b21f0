/** The results as markdown: what was measured where, then a table for each place and chart, or one with everything for a grid without charts. */
import { parseLabel } from './field.ts';
import { figure, metricScales, spreadText } from './figures.ts';
import { cellName, rowName, type Cell, type Chart } from './grid.ts';
import type { PlaceResult, ServerState } from './results.ts';
import { findSummary, type Summary } from './summary.ts';

/** A server is compared with those over the same transport. */
interface Ratio {
  readonly over: string;
  readonly under: string;
}

const ours = 'iserd';

export function markdown(
  title: string,
  results: readonly PlaceResult[],
  charts: readonly Chart[],
): string {
  const parts = [
    `# ${title}`,
    'Medians of the rounds, with the lowest and the highest in brackets. A ratio is of medians; "–" stands where there is no figure.',
    ...results.map(placeHead),
    ...(charts.length === 0
      ? results.flatMap((result) => [`## ${result.title}`, detailTable(result)])
      : charts.flatMap((chart) => chartSection(chart, results))),
  ];
  return `${parts.join('\n\n')}\n`;
}

function placeHead(result: PlaceResult): string {
  const { machine, rounds, roundsDone, seconds, date } = result;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  const troubles = result.servers.flatMap((server) => troublesOf(result, server));
  return [
    `**${result.title}** (${result.place}): ${machine.kind}; ${machine.cpuCount} × ${machine.cpu}, ${machine.memoryMebibytes} MiB,`,
    `Linux ${machine.kernel}; iserd ${machine.commit}; ${versions.join(', ')}.`,
    `Begun ${date}; ${roundsDone} of ${rounds} rounds, ${seconds} s each measurement, volumes of ${result.volumeMebibytes} MiB.`,
    ...(result.quick ? ['**A quick run: its figures mean nothing.**'] : []),
    ...(troubles.length === 0 ? [] : ['', ...troubles]),
  ].join('\n');
}

function troublesOf(
  { summaries, failures }: PlaceResult,
  { label, error, complaints }: ServerState,
): string[] {
  const failed = failures.filter(({ server }) => server === label);
  const started = failed.length > 0 || summaries.some(({ server }) => server === label);
  return [
    ...(error === undefined
      ? []
      : [`${started ? 'given up after failures in a row' : 'not possible'}: ${inline(error)}`]),
    ...(failed.length === 0
      ? []
      : [
          `measurements that failed: ${failed.length}; the first: ${cellName(failed[0].cell)}: ${inline(failed[0].error)}`,
        ]),
    ...(complaints === undefined ? [] : [`said meanwhile: ${inline(complaints)}`]),
  ].map((trouble) => `- **${label}**: ${trouble}`);
}

function chartSection(chart: Chart, results: readonly PlaceResult[]): string[] {
  const { title, unit, betterIs } = metricScales[chart.y];
  return [
    `## ${chart.title}`,
    `${title} in ${unit}; ${betterIs} is better. ![${chart.title}](${chart.id}.svg)`,
    ...results.flatMap((result) => [`### ${result.title}`, chartTable(chart, result)]),
  ];
}

function chartTable(chart: Chart, result: PlaceResult): string {
  const { divisor } = metricScales[chart.y];
  const ratios = ratiosOf(result.servers);
  const find = (server: string, cell: Cell): Summary | undefined =>
    findSummary(result.summaries, server, cell);
  return markdownTable(
    ['', ...result.servers.map(({ label }) => label), ...ratios.map(ratioName)],
    chart.cells.map((cell) => [
      rowName(cell, chart.x),
      ...result.servers.map(({ label }) => {
        const summary = find(label, cell);
        return summary === undefined ? '–' : spreadText(summary[chart.y], divisor);
      }),
      ...ratios.map(({ over, under }) =>
        quotient(find(over, cell)?.[chart.y].median, find(under, cell)?.[chart.y].median),
      ),
    ]),
  );
}

/** IOPS with their range, latencies, CPU time; ratios of IOPS, p99.9 latency and CPU time. */
function detailTable(result: PlaceResult): string {
  const cells = new Map(result.summaries.map(({ cell }) => [cellName(cell), cell]));
  const ratios = ratiosOf(result.servers);
  return markdownTable(
    [
      'workload',
      ...result.servers.map(
        ({ label }) => `${label}: IOPS; mean / p99 / p99.9 µs; CPU µs per request`,
      ),
      ...ratios.map((ratio) => `${ratioName(ratio)}: IOPS; p99.9; CPU`),
    ],
    [...cells].map(([name, cell]) => {
      const find = (server: string): Summary | undefined =>
        findSummary(result.summaries, server, cell);
      return [
        name,
        ...result.servers.map(({ label }) => detail(find(label))),
        ...ratios.map(({ over, under }) => {
          const [a, b] = [find(over), find(under)];
          const cpu = [a, b].map((summary) => summary?.cpuMicrosecondsPerRequest?.median);
          const tail = [a, b].map((summary) => summary?.p999LatencyMicroseconds.median);
          return [
            quotient(a?.iops.median, b?.iops.median),
            quotient(tail[0], tail[1]),
            quotient(cpu[0], cpu[1]),
          ].join('; ');
        }),
      ];
    }),
  );
}

function detail(summary: Summary | undefined): string {
  if (summary === undefined) return '–';
  const { iops, meanLatencyMicroseconds: mean } = summary;
  const { p99LatencyMicroseconds: p99, p999LatencyMicroseconds: p999 } = summary;
  const cpu = summary.cpuMicrosecondsPerRequest?.median;
  return (
    `${spreadText(iops)}; ${figure(mean.median)} / ${figure(p99.median)} / ${figure(p999.median)}; ` +
    (cpu === undefined ? '–' : figure(cpu))
  );
}

/** iserd, or each way to configure it, over the others; and each way over the first. */
function ratiosOf(servers: readonly ServerState[]): Ratio[] {
  const parsed = servers.map(({ label }) => ({ label, ...parseLabel(label) }));
  const isOurs = ({ server }: { server: string }): boolean => server.startsWith(ours);
  return parsed.filter(isOurs).flatMap((over) => {
    const rivals = parsed.filter(({ transport }) => transport === over.transport);
    const first = rivals.find(isOurs);
    return rivals
      .filter((under) => !isOurs(under) || (under === first && under !== over))
      .map((under) => ({ over: over.label, under: under.label }));
  });
}

function ratioName({ over, under }: Ratio): string {
  return `${over} / ${parseLabel(under).server}`;
}

function quotient(over: number | undefined, under: number | undefined): string {
  return over === undefined || under === undefined || under === 0 ? '–' : (over / under).toFixed(2);
}

/** One line, safe in a table or a list. */
function inline(text: string): string {
  const line = text.replace(/\s+/g, ' ').replaceAll('|', '\\|');
  return line.length > 400 ? `${line.slice(0, 400)}…` : line;
}

/** Columns are padded: the source is to be read as well. */
export function markdownTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = header.map((name, column) =>
    Math.max(3, name.length, ...rows.map((row) => row[column].length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`;
  return [line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join(
    '\n',
  );
}
