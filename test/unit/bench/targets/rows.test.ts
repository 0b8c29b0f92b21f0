import { expect } from 'chai';
import { grid } from '../../../bench/grid.ts';
import { isMet, targetRows, targetTable } from '../../../bench/targets/rows.ts';
import { sampleResult } from '../sample-result.ts';

describe('bench targets', () => {
  const host = sampleResult(grid('side-by-side', false).cells);

  it('are ratios of medians of the same run', () => {
    const row = targetRows({ host }).find(
      ({ figure }) => figure === '4 KiB random read QD32: IOPS, host',
    );
    // 2200 over 1100
    expect(row).to.include({ against: 'qemu-nbd TCP', limit: 1.5, atLeast: true, value: 2 });
  });

  it('may be limits from above', () => {
    const row = targetRows({ host }).find(({ figure }) => figure.includes('mean latency, host'));
    expect(row?.value).to.equal(0.5);
    expect(row && isMet(row)).to.equal(true);
    expect(row && isMet({ ...row, value: 0.81 })).to.equal(false);
  });

  it('stay visible when nothing was measured', () => {
    const rows = targetRows({});
    expect(rows).to.have.length.greaterThan(20);
    expect(rows.map(isMet)).to.deep.equal(rows.map(() => undefined));
    expect(targetTable(rows)).to.include(`0 of ${rows.length} met, ${rows.length} not measured`);
  });

  it('include what is left to the garbage collector and idle memory', () => {
    const rows = targetRows({
      garbage: {
        rows: [
          { device: 'null', workload: 'w', scavengesPerMillion: 1.5, markCompactsPerMillion: 0 },
        ],
      },
      idleMemory: {
        ratios: [
          { volumes: 1, rss: 8 },
          { volumes: 64, rss: 0.2 },
        ],
      },
    }).filter(({ value }) => value !== undefined);
    expect(rows.map((row) => [row.value, isMet(row)])).to.deep.equal([
      [0.2, true],
      [1.5, false],
      [0, true],
    ]);
  });
});
