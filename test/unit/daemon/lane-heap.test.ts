import { expect } from 'chai';
import { laneHeapOptions } from '../../../daemon/lane/heap.ts';
import { repository, runOk } from '../../helpers/programs.ts';

describe('the heap of a lane', () => {
  it('has both halves of its young generation in memory before the first request', async () => {
    const program = `
      import { getHeapSpaceStatistics } from 'node:v8';
      import { touchYoungGeneration } from '${repository}daemon/lane/heap.ts';
      touchYoungGeneration();
      const young = getHeapSpaceStatistics().find((space) => space.space_name === 'new_space');
      console.log(young.physical_space_size);`;
    const argv = ['--import', 'tsx', '--input-type=module', '-e', program];
    const bytes = await runOk(process.execPath, [...laneHeapOptions, ...argv], { cwd: repository });
    expect(Number(bytes)).to.be.at.least(2 * 16 * 2 ** 20);
  });
});
