import { markdownTable } from '../table.ts';
import { compare, measureNames, type Figure } from './comparison.ts';
import type { InstructionResult } from './samples.ts';

export function markdown(result: InstructionResult): string {
  const { date, machine, trees, requests, samples, troubles } = result;
  const rounds = Math.max(0, ...samples.map(({ round }) => round));
  const parts = [
    '# Instructions per request',
    [
      `In thousands; medians of ${rounds} rounds, in brackets how far the lowest and the highest round lie apart; then the change against`,
      'the first server over the same transport.',
    ].join('\n'),
    `Begun ${date}; Linux ${machine.kernel}, node ${machine.versions['node'] ?? ''}, iserd ${machine.commit}; ${treeNames(trees)}; passes of ${requests} requests.`,
    ...(troubles.length === 0 ? [] : [troubles.map((trouble) => `- ${trouble}`).join('\n')]),
    markdownTable(
      ['workload', 'server', ...measureNames],
      compare(samples).map(({ workload, server, figures }) => [
        workload,
        server,
        ...measureNames.map((name) => figureText(figures[name])),
      ]),
    ),
  ];
  return `${parts.join('\n\n')}\n`;
}

function treeNames(trees: InstructionResult['trees']): string {
  return trees.map(({ name, directory }) => `${name} is ${directory}`).join(', ');
}

/** "85.31 (0.4 %) +2.1 %" */
export function figureText({ median, apart, change }: Figure): string {
  const text = `${(median / 1000).toFixed(2)} (${percent(apart)} %)`;
  if (change === undefined) return text;
  return `${text} ${change < 0 ? '' : '+'}${percent(change)} %`;
}

function percent(part: number): string {
  return (part * 100).toFixed(1);
}
