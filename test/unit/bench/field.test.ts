import { expect } from 'chai';
import { labelOf, parseLabel, serversOf, shareCount, shareOf } from '../../bench/field.ts';
import { markdown } from '../../bench/table.ts';
import { grid } from '../../bench/grid.ts';
import { summarize } from '../../bench/summary.ts';
import { sample, sampleResult } from './sample-result.ts';

describe('bench field', () => {
  it('has the peers that there are over each transport of a place', () => {
    expect(serversOf('host', 'peers').map(labelOf)).to.deep.equal(['iserd TCP', 'qemu-nbd TCP']);
    expect(serversOf('vm-tgt', 'peers').map(labelOf)).to.deep.equal([
      ...['iserd iSER', 'qemu-nbd iSER', 'open-iscsi iSER'],
      ...['iserd TCP', 'qemu-nbd TCP', 'open-iscsi TCP'],
    ]);
  });

  it('has ways to configure iserd, each with units of its own', () => {
    const kinds = serversOf('vm-lio', 'polling');
    expect(kinds.slice(0, 5).map(labelOf)).to.deep.equal([
      ...[
        'iserd spin-0 iSER',
        'iserd spin-100 iSER',
        'iserd spin-400 iSER',
        'iserd spin-1000 iSER',
      ],
      'qemu-nbd iSER',
    ]);
    expect(shareCount(kinds)).to.equal(5);
    expect(kinds.map((kind) => shareOf(kind, kinds))).to.deep.equal([0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
  });

  it('lets peers share units', () => {
    const kinds = serversOf('vm-tgt', 'peers');
    expect(shareCount(kinds)).to.equal(1);
  });

  it('takes labels apart', () => {
    expect(parseLabel('iserd spin-50 TCP')).to.deep.equal({
      server: 'iserd spin-50',
      transport: 'TCP',
    });
  });

  it('compares ways to configure iserd with the peers and with the first way', () => {
    const [cell] = grid('side-by-side', true).cells;
    const labels = ['iserd spin-0 TCP', 'iserd spin-50 TCP', 'qemu-nbd TCP'];
    const samples = labels.map((label, index) => sample(label, cell, 1, 100 * (index + 1)));
    const result = {
      ...sampleResult([]),
      servers: labels.map((label) => ({ label })),
      summaries: summarize(samples),
    };
    const rows = markdown('', [result], [])
      .split('\n')
      .filter((line) => line.startsWith('| '))
      .map((line) => line.split('|').map((word) => word.trim()));
    expect(rows[0].slice(5, -1)).to.deep.equal([
      'iserd spin-0 TCP / qemu-nbd: IOPS; p99.9; CPU',
      'iserd spin-50 TCP / iserd spin-0: IOPS; p99.9; CPU',
      'iserd spin-50 TCP / qemu-nbd: IOPS; p99.9; CPU',
    ]);
    expect(rows[2].slice(5, -1)).to.deep.equal(['0.33; 3.00; –', '2.00; 0.50; –', '0.67; 1.50; –']);
  });
});
