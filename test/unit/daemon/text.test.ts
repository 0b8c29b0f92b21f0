import { expect } from 'chai';
import { describeTargets } from '../../../daemon/cli/discover.ts';
import { formatFields, formatTable } from '../../../daemon/cli/table.ts';

describe('a table', () => {
  it('aligns text to the left and numbers to the right, without spaces at the end', () => {
    expect(
      formatTable(
        ['NAME', 'COUNT'],
        [
          ['a', 7],
          ['longer', 12345],
        ],
      ),
    ).to.equal('NAME    COUNT\na           7\nlonger  12345');
    expect(formatTable(['A', 'B'], [['x', '']])).to.equal('A  B\nx');
  });

  it('aligns numbers with units to the right where it is told to', () => {
    const rows = [
      ['a', '7 ms'],
      ['b', '120 us'],
    ];
    expect(formatTable(['N', 'P'], rows, ['P'])).to.equal('N       P\na    7 ms\nb  120 us');
  });

  it('without rows is its header', () => {
    expect(formatTable(['A', 'B'], [])).to.equal('A  B');
  });
});

describe('fields', () => {
  it('have their values in one column', () => {
    expect(formatFields({ a: 1, long: true })).to.equal('  a     1\n  long  true');
  });
});

describe('a list of discovered targets for people', () => {
  it('has every portal under its target, IPv6 in brackets', () => {
    const text = describeTargets([
      {
        targetName: 'iqn.2026-11.test:a',
        portals: [
          { address: 'fe80::1', port: 3260, tag: 1 },
          { address: '10.0.0.5', port: 3261, tag: 2 },
        ],
      },
      { targetName: 'iqn.2026-11.test:b', portals: [] },
    ]);
    expect(text).to.equal(
      'iqn.2026-11.test:a\n  [fe80::1]:3260,1\n  10.0.0.5:3261,2\niqn.2026-11.test:b\n',
    );
  });

  it('says that there are none', () => {
    expect(describeTargets([])).to.match(/no targets/);
  });
});
