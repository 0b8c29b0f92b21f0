import { expect } from 'chai';
import { cellName, charts, grid, rowName } from '../../bench/grid.ts';

describe('bench grid', () => {
  it('has six charts, each along one axis', () => {
    expect(charts().map(({ id, x, y }) => [id, x, y])).to.deep.equal([
      ['iops-by-depth', 'depth', 'iops'],
      ['bandwidth-by-block-size', 'blockSize', 'bytesPerSecond'],
      ['latency-by-depth', 'depth', 'meanLatencyMicroseconds'],
      ['latency-by-block-size', 'blockSize', 'meanLatencyMicroseconds'],
      ['bandwidth-by-volumes', 'volumes', 'bytesPerSecond'],
      ['iops-by-volumes', 'volumes', 'iops'],
    ]);
    for (const { cells, x } of charts())
      for (const axis of ['depth', 'blockSize', 'volumes'] as const) {
        const steps = new Set(cells.map((cell) => cell[axis])).size;
        if (axis === x) expect(steps).to.be.greaterThan(1);
        else expect(steps).to.equal(1);
      }
  });

  it('goes from depth 1 to 64, from 512 bytes to 1 MiB, from one volume to eight', () => {
    const { cells } = grid('charts', false);
    for (const [axis, first, last] of [
      ['depth', 1, 64],
      ['blockSize', 512, 2 ** 20],
      ['volumes', 1, 8],
    ] as const) {
      const steps = cells.map((cell) => cell[axis]);
      expect([Math.min(...steps), Math.max(...steps)]).to.deep.equal([first, last]);
    }
  });

  for (const quick of [false, true])
    it(`measures a cell once, however many charts show it${quick ? ', quick too' : ''}`, () => {
      const { cells, charts: shown } = grid('charts', quick);
      const names = cells.map(cellName);
      expect(new Set(names).size).to.equal(names.length);
      expect(names).to.include.members(shown.flatMap((chart) => chart.cells).map(cellName));
    });

  it('has a quick form that reaches as far with few cells', () => {
    const quick = grid('charts', true).cells;
    expect(quick.length).to.be.lessThan(grid('charts', false).cells.length / 3);
    expect(Math.max(...quick.map(({ volumes }) => volumes))).to.equal(8);
  });

  it('names cells for people', () => {
    const cell = { pattern: 'randrw', blockSize: 65_536, depth: 8, volumes: 2 } as const;
    expect(cellName(cell)).to.equal('64 KiB random 70:30 QD8, 2 volumes');
    expect(cellName({ ...cell, volumes: 1 })).to.equal('64 KiB random 70:30 QD8');
    expect(rowName(cell, 'volumes')).to.equal('random 70:30, volumes 2');
    expect(rowName({ ...cell, blockSize: 512 }, 'blockSize')).to.equal('random 70:30, 512 B');
  });
});
