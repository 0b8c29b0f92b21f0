import { expect } from 'chai';
import { laneHeapOptions, semiSpaceBytes } from '../../../daemon/lane/heap.ts';
import { repository, runOk } from '../../helpers/programs.ts';

describe('the heap of a lane', () => {
  it('is smaller where there are many lanes, and never smaller than V8’s', () => {
    expect([1, 2, 3, 16, 64].map((lanes) => semiSpaceBytes(lanes) / 2 ** 20)).to.deep.equal([
      16, 16, 10, 2, 1,
    ]);
  });

  it('has both halves of its young generation in memory before the first request', async () => {
    const program = `
      import { getHeapSpaceStatistics } from 'node:v8';
      import { touchYoungGeneration } from '${repository}daemon/lane/heap.ts';
      touchYoungGeneration(2);
      const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
      console.log(young.physical_space_size);`;
    const argv = ['--import', 'tsx', '--input-type=module', '-e', program];
    const bytes = await runOk(process.execPath, [...laneHeapOptions(2), ...argv], {
      cwd: repository,
    });
    expect(Number(bytes)).to.be.at.least(2 * 16 * 2 ** 20);
  });
});
