import { expect } from 'chai';
import { findSummary, spread, summarize } from '../../bench/summary.ts';
import { sample } from './sample-result.ts';

const cell = { pattern: 'randread', blockSize: 4096, depth: 1, volumes: 1 } as const;

describe('bench summary', () => {
  it('takes the value in the middle, and the two ends', () => {
    expect(spread([30, 10, 20])).to.deep.equal({ median: 20, minimum: 10, maximum: 30 });
    expect(spread([7])).to.deep.equal({ median: 7, minimum: 7, maximum: 7 });
  });

  it('takes the mean of the two in the middle of an even number', () => {
    expect(spread([4, 1, 2, 100])).to.deep.equal({ median: 3, minimum: 1, maximum: 100 });
  });

  it('has nothing to say about nothing', () => {
    expect(() => spread([])).to.throw(RangeError);
    expect(summarize([])).to.deep.equal([]);
  });

  it('keeps servers and cells apart', () => {
    const other = { ...cell, volumes: 2 };
    const summaries = summarize([
      sample('a', cell, 1, 100),
      sample('b', cell, 1, 200),
      sample('a', other, 1, 300),
      sample('a', cell, 2, 110),
    ]);
    expect(summaries).to.have.length(3);
    expect(findSummary(summaries, 'a', cell)?.iops).to.deep.equal({
      median: 105,
      minimum: 100,
      maximum: 110,
    });
    expect(findSummary(summaries, 'a', { ...other })?.rounds).to.equal(1);
    expect(findSummary(summaries, 'b', other)).to.equal(undefined);
  });

  it('has CPU time only of those who have processes', () => {
    const [kernel, process] = summarize([
      sample('kernel', cell, 1, 100),
      { ...sample('process', cell, 1, 100), cpuMicrosecondsPerRequest: 5 },
    ]);
    expect(kernel).not.to.have.property('cpuMicrosecondsPerRequest');
    expect(process.cpuMicrosecondsPerRequest?.median).to.equal(5);
  });
});
