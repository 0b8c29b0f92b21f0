/** A latency histogram as bars. */
import type { Histogram } from '../../src/histogram.ts';
import type { Terminal } from './terminal.ts';
import { formatCount, formatDuration } from './units.ts';

/** Wide enough to compare bars, where nobody says how wide a line may be. */
const defaultColumns = 80;
/** With more rows than that each is a whole power of two, instead of half of one. */
const mostRows = 24;
const eighths = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'] as const;

interface Row {
  readonly from: number;
  /** Not included. */
  readonly to: number;
  readonly count: number;
}

/** One line per range of durations, from the shortest to the longest that occurred; '' when nothing did. */
export function drawHistogram(histogram: Histogram, terminal: Terminal): string {
  const rows = rowsOf(histogram);
  if (rows.length === 0) return '';
  const total = histogram.count;
  const most = Math.max(...rows.map(({ count }) => count));
  const labels = rows.map(({ from, to }) => [
    formatDuration(from, terminal.unicode),
    formatDuration(to, terminal.unicode),
  ]);
  const labelWidth = Math.max(...labels.flat().map((label) => label.length));
  const counts = rows.map(({ count }) => formatCount(count));
  const countWidth = Math.max(...counts.map((count) => count.length));
  const columns = Number.isFinite(terminal.columns) ? terminal.columns : defaultColumns;
  const dash = terminal.unicode ? '–' : '-';
  const barWidth = Math.max(8, columns - (2 * labelWidth + 3) - countWidth - 12);
  return rows
    .map(({ count }, index) => {
      const [from, to] = labels[index];
      const range = `${from.padStart(labelWidth)} ${dash} ${to.padStart(labelWidth)}`;
      const share = `${((100 * count) / total).toFixed(1)} %`.padStart(7);
      const length = bar((count / most) * barWidth, terminal.unicode);
      return `${range} ${counts[index].padStart(countWidth)} ${share} ${length}`.trimEnd();
    })
    .join('\n');
}

/** Something that happened is never nothing to see. */
function bar(length: number, unicode: boolean): string {
  if (length === 0) return '';
  if (!unicode) return '#'.repeat(Math.max(1, Math.round(length)));
  const parts = Math.max(1, Math.round(length * 8));
  return `${'█'.repeat(parts >> 3)}${eighths[parts & 7]}`;
}

function rowsOf(histogram: Histogram): Row[] {
  const fine = occupied(histogram, boundaries(true));
  return fine.length <= mostRows ? fine : occupied(histogram, boundaries(false));
}

/** Rows between the first and the last that is not empty. */
function occupied(histogram: Histogram, ends: readonly number[]): Row[] {
  let below = 0;
  const rows = ends.map((to, index) => {
    const upTo = histogram.countUpTo(to - 1);
    const row = { from: index === 0 ? 0 : ends[index - 1], to, count: upTo - below };
    below = upTo;
    return row;
  });
  const first = rows.findIndex(({ count }) => count > 0);
  const last = rows.findLastIndex(({ count }) => count > 0);
  return first < 0 ? [] : rows.slice(first, last + 1);
}

/** 1, 2, 4 … 2^32 microseconds, with 3, 6, 12 … between them where it should be fine. They are boundaries of buckets, too. */
function boundaries(fine: boolean): number[] {
  const ends = [1];
  for (let power = 1; power < 2 ** 32; power *= 2) {
    if (fine && power > 1) ends.push(power * 1.5);
    ends.push(power * 2);
  }
  return ends;
}
