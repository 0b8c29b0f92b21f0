import { expect } from 'chai';
import { chartSpec } from '../../bench/charts.ts';
import { grid } from '../../bench/grid.ts';
import { svgOf } from '../../bench/render.ts';
import { sampleResult } from './sample-result.ts';

const { charts, cells } = grid('charts', false);

describe('bench charts', () => {
  for (const chart of charts)
    it(`draws ${chart.id} with its title, servers and places`, async () => {
      const spec = chartSpec(chart, [sampleResult(cells), { ...sampleResult(cells), title: 'VM' }]);
      const svg = await svgOf(spec!);
      expect(svg).to.match(/^<svg /);
      for (const text of [chart.title, 'iserd TCP', 'qemu-nbd TCP', 'host, tgt', 'VM'])
        expect(svg).to.include(`>${text}<`);
      // No figures, no line.
      expect(svg).not.to.include('open-iscsi');
    });

  it('labels block sizes', async () => {
    const svg = await svgOf(chartSpec(charts[1], [sampleResult(cells)])!);
    for (const label of ['512 B', '4 KiB', '1 MiB']) expect(svg).to.include(`>${label}<`);
  });

  it('draws nothing of nothing', () => {
    expect(chartSpec(charts[0], [])).to.equal(undefined);
    expect(chartSpec(charts[0], [sampleResult([])])).to.equal(undefined);
  });

  it('does not accept a chart that the library only warns of', async () => {
    const spec = chartSpec(charts[0], [sampleResult(cells)])!;
    let message = '';
    try {
      await svgOf({ ...spec, config: { axis: { format: 'no format' } } });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).not.to.equal('');
  });
});
