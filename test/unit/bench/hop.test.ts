import { expect } from 'chai';
import { chartSpec } from '../../bench/charts.ts';
import { labelOf, serversOf } from '../../bench/field.ts';
import { grid } from '../../bench/grid.ts';
import { parseOptions } from '../../bench/options.ts';
import { isInGuest, placeNames } from '../../bench/places.ts';
import { svgOf } from '../../bench/render.ts';
import type { PlaceResult } from '../../bench/results.ts';
import { summarize } from '../../bench/summary.ts';
import { markdown } from '../../bench/table.ts';
import { sample, sampleResult } from './sample-result.ts';

const labels = serversOf('hop', 'peers').map(labelOf);

function hopResult(gridName: 'charts' | 'side-by-side'): PlaceResult {
  const { cells } = grid(gridName, true);
  const samples = cells.flatMap((cell) => [
    sample(labels[0], cell, 1, 1800),
    sample(labels[1], cell, 1, 2000),
  ]);
  return {
    ...sampleResult([]),
    place: 'hop',
    title: 'NBD hop alone',
    servers: labels.map((label) => ({ label })),
    summaries: summarize(samples),
  };
}

describe('bench hop', () => {
  it('has iserd and the minimal server', () => {
    expect(labels).to.deep.equal(['iserd NBD', 'epoll NBD']);
  });

  it('is measured when it is asked for', () => {
    expect(parseOptions(['--place', 'hop']).places).to.deep.equal(['hop']);
    expect(parseOptions(['--place', 'all']).places).not.to.include('hop');
    expect(() => parseOptions(['--place', 'hop', '--field', 'registration'])).to.throw('--field');
  });

  it('needs no guest', () => {
    expect(placeNames.filter((place) => !isInGuest(place))).to.deep.equal(['host', 'hop']);
  });

  it('compares both in tables, beside places with a target', () => {
    const { charts } = grid('charts', true);
    const text = markdown(
      '',
      [sampleResult(grid('charts', true).cells), hopResult('charts')],
      charts,
    );
    expect(text).to.include('iserd NBD / epoll');
    expect(text).to.match(/\| random read, depth 64 +\| 1800 .*\| 2000 .*\| 0\.90 /);
    expect(markdown('', [hopResult('side-by-side')], [])).to.match(
      /4 KiB random read QD1 .*\| 0\.90; /,
    );
  });

  it('draws both', async () => {
    const [chart] = grid('charts', true).charts;
    const svg = await svgOf(chartSpec(chart, [hopResult('charts')])!);
    for (const text of [...labels, 'NBD hop alone']) expect(svg).to.include(`>${text}<`);
  });
});
