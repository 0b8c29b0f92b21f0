import { expect } from 'chai';
import fc from 'fast-check';
import { drawHistogram } from '../../../../daemon/cli/chart.ts';
import { standardOutput, type Terminal } from '../../../../daemon/cli/terminal.ts';
import { formatCount, formatDuration } from '../../../../daemon/cli/units.ts';
import { histogramOf } from '../../../helpers/durations.ts';

const pipe: Terminal = { isTty: false, columns: Infinity, rows: Infinity, unicode: false };
const terminal: Terminal = { isTty: true, columns: 70, rows: 24, unicode: true };

describe('the chart of latencies', () => {
  it('has a row for each half of a power of two between the shortest and the longest', () => {
    const chart = drawHistogram(histogramOf([100, 100, 100, 130, 300]), pipe);
    expect(chart.split('\n').map((line) => line.replace(/ +/g, ' ').trim())).to.deep.equal([
      `96 us - 128 us 3 60.0 % ${'#'.repeat(52)}`,
      `128 us - 192 us 1 20.0 % ${'#'.repeat(17)}`,
      '192 us - 256 us 0 0.0 %',
      `256 us - 384 us 1 20.0 % ${'#'.repeat(17)}`,
    ]);
  });

  it('has a row for each power of two when the span is long', () => {
    const rows = drawHistogram(histogramOf([1, 10_000_000]), pipe).split('\n');
    expect(rows).to.have.lengthOf(24);
    expect(rows[0]).to.match(/^ +1 us - +2 us +1 +50\.0 % #+$/);
    expect(rows.at(-1)).to.match(/^ 8\.39 s - {2}16\.8 s /);
  });

  it('draws eighths of a character where the terminal can', () => {
    const many = histogramOf([...new Array<number>(1000).fill(100), 400]);
    const rows = drawHistogram(many, terminal).split('\n');
    expect(rows[0]).to.match(/^ 96 µs – 128 µs 1,000 {2}99\.9 % █+[▏▎▍▌▋▊▉]?$/);
    // One in a thousand is less than an eighth, and still there.
    expect(rows.at(-1)).to.match(/ ▏$/);
  });

  it('is nothing without values', () => {
    expect(drawHistogram(histogramOf([]), terminal)).to.equal('');
  });

  it('fits every terminal, and tells of every value', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 2 ** 32 - 1 }), { minLength: 1 }),
        fc.integer({ min: 60, max: 300 }),
        fc.boolean(),
        (durations, columns, unicode) => {
          const chart = drawHistogram(histogramOf(durations), { ...terminal, columns, unicode });
          const lines = chart.split('\n');
          for (const line of lines) expect(line.length).to.be.at.most(columns);
          const counts = lines.map((line) => Number(/(\d+) +\d+\.\d %/.exec(line)![1]));
          expect(counts.reduce((sum, count) => sum + count)).to.equal(durations.length);
          if (!unicode) expect(chart).to.match(/^[\x00-\x7f]*$/);
        },
      ),
    );
  });
});

describe('what standard output can show', () => {
  const tty = { isTTY: true, columns: 100, rows: 30 };
  const cases: readonly (readonly [string, object, NodeJS.ProcessEnv, Terminal])[] = [
    ['a pipe', {}, { LANG: 'C.UTF-8' }, pipe],
    [
      'a terminal with UTF-8',
      tty,
      { LANG: 'de_DE.UTF-8' },
      { isTty: true, columns: 100, rows: 30, unicode: true },
    ],
    [
      'a terminal with another character set',
      tty,
      { LC_ALL: 'C', LANG: 'de_DE.UTF-8' },
      { isTty: true, columns: 100, rows: 30, unicode: false },
    ],
    [
      'a terminal that does not say how large it is',
      { isTTY: true },
      { LC_CTYPE: 'en_US.utf8' },
      { isTty: true, columns: Infinity, rows: Infinity, unicode: true },
    ],
  ];
  for (const [what, stdout, environment, expected] of cases)
    it(`on ${what}`, () => {
      expect(standardOutput(stdout, environment)).to.deep.equal(expected);
    });
});

describe('numbers for people', () => {
  const durations = [
    [0, '0 us'],
    [7, '7 us'],
    [310.4, '310 us'],
    [999, '999 us'],
    [1000, '1 ms'],
    [1234, '1.23 ms'],
    [12_345, '12.3 ms'],
    [999_999, '1000 ms'],
    [1_500_000, '1.50 s'],
    [120_000_000, '120 s'],
  ] as const;
  for (const [microseconds, text] of durations)
    it(`${microseconds} microseconds are "${text}"`, () => {
      expect(formatDuration(microseconds, false)).to.equal(text);
    });

  it('count in thousands', () => {
    expect([0, 999, 1234567.4].map(formatCount)).to.deep.equal(['0', '999', '1,234,567']);
  });
});
