import { expect } from 'chai';
import { figure, spreadText } from '../../bench/figures.ts';
import { grid } from '../../bench/grid.ts';
import { markdown, markdownTable } from '../../bench/table.ts';
import { sampleResult } from './sample-result.ts';

const { charts, cells } = grid('charts', true);

describe('bench table', () => {
  it('shows three digits at least', () => {
    expect([123_456.7, 99.95, 12.34, 0.01234].map(figure)).to.deep.equal([
      '123457',
      '100',
      '12.3',
      '0.0123',
    ]);
    expect(spreadText({ median: 2048, minimum: 1024, maximum: 4096 }, 1024)).to.equal(
      '2.00 (1.00–4.00)',
    );
  });

  it('has columns of one width', () => {
    expect(markdownTable(['a', 'long name'], [['1', '2']])).to.equal(
      '| a   | long name |\n| --- | --------- |\n| 1   | 2         |',
    );
  });

  it('has a section for each chart, with medians, ranges and ratios over one transport', () => {
    const text = markdown('Six charts', [sampleResult(cells)], charts);
    for (const chart of charts) {
      expect(text).to.include(`## ${chart.title}\n`);
      expect(text).to.include(`(${chart.id}.svg)`);
    }
    const row = text.split('\n').find((line) => line.startsWith('| random read, depth 64'));
    expect(row?.split('|').map((word) => word.trim())).to.deep.equal([
      '',
      'random read, depth 64',
      '2200 (2100–2300)',
      '1100 (1050–1150)',
      '–',
      '2.00',
      '–',
      '',
    ]);
  });

  it('says why a server has no figures, in one line', () => {
    const text = markdown('Six charts', [sampleResult(cells)], charts);
    expect(text).to.include('- **open-iscsi TCP**: not possible: no \\|module\\| for it\n');
  });

  it('says what failed on the way, and what a server complained of', () => {
    const result = {
      ...sampleResult(cells),
      servers: [{ label: 'iserd TCP', error: 'gone', complaints: 'lost\nfound' }],
      failures: [{ server: 'iserd TCP', cell: cells[0], round: 1, error: 'gone' }],
    };
    const text = markdown('', [result], charts);
    expect(text).to.include('- **iserd TCP**: given up after failures in a row: gone\n');
    expect(text).to.include(
      'measurements that failed: 1; the first: 4 KiB random read QD1: gone\n',
    );
    expect(text).to.include('- **iserd TCP**: said meanwhile: lost found\n');
  });

  it('warns of a quick run', () => {
    const result = { ...sampleResult(cells), quick: true };
    expect(markdown('', [result], charts)).to.include('mean nothing');
  });

  it('has one table with everything when there are no charts', () => {
    const text = markdown('Side by side', [sampleResult(grid('side-by-side', false).cells)], []);
    expect(text).to.match(
      /\| 4 KiB random read QD32 +\| 2200 \(2100–2300\); 14545 \/ 29091 \/ 43636; – /,
    );
    expect(text).to.include('| 2.00; 0.50; – ');
  });
});
