/** What `iserctl doctor` prints. */
import { styleText } from 'node:util';
import type { Finding, Level } from './finding.ts';

export interface Section {
  readonly area: string;
  readonly findings: readonly Finding[];
}

const colours = { ok: 'green', note: 'yellow', wrong: 'red' } as const;

/** Sections with a line for each finding, and under it what to do; then a sentence that sums up. */
export function describeSections(sections: readonly Section[], colour: boolean): string {
  const paint = (level: Level): string => {
    const word = level.padEnd(5);
    return colour ? styleText(colours[level], word) : word;
  };
  const shown = sections.filter(({ findings }) => findings.length > 0);
  const blocks = shown.map(({ area, findings }) =>
    [
      area,
      ...findings.flatMap(({ level, message, cure }) => [
        `  ${paint(level)}  ${message}`,
        ...(cure === undefined ? [] : [`         → ${cure}`]),
      ]),
    ].join('\n'),
  );
  return `${[...blocks, summary(sections)].join('\n\n')}\n`;
}

export function countOf(sections: readonly Section[], level: Level): number {
  return sections.flatMap(({ findings }) => findings).filter((one) => one.level === level).length;
}

function summary(sections: readonly Section[]): string {
  const problems = countOf(sections, 'wrong');
  const notes = countOf(sections, 'note');
  const plural = (count: number, word: string): string =>
    `${count} ${word}${count === 1 ? '' : 's'}`;
  const verdict = problems === 0 ? 'nothing is wrong' : plural(problems, 'problem');
  return notes === 0 ? verdict : `${verdict}, ${plural(notes, 'note')}`;
}
