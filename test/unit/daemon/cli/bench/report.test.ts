import { expect } from 'chai';
import { Histogram } from '../../../../../src/histogram.ts';
import type { LoadResult } from '../../../../../daemon/cli/bench/load.ts';
import {
  describeBench,
  ProgressLine,
  workloadName,
} from '../../../../../daemon/cli/bench/report.ts';

const latency = new Histogram();
const times = Float64Array.of(0, 0.06, 2.5);
for (let i = 0; i < 100; i++) latency.record(times, 0, times.subarray(i < 98 ? 1 : 2));

const result: LoadResult = {
  workload: { operation: 'write', order: 'random', blockBytes: 1024 * 1024, depth: 8 },
  requests: 500,
  seconds: 2,
  latency,
};

describe('what the bench shows', () => {
  it('names a workload', () => {
    expect(workloadName(result.workload)).to.equal('1 MiB random write, depth 8');
  });

  it('is a table of rates and latencies', () => {
    expect(describeBench([result]).split('\n')).to.deep.equal([
      'WORKLOAD                     IOPS  MiB/s  p50 ms  p99 ms  max ms',
      '1 MiB random write, depth 8   250    250    0.06     2.5     2.5',
      '',
    ]);
  });

  describe('the line of progress', () => {
    let written: string;
    const stream = (isTTY: boolean): Pick<NodeJS.WriteStream, 'isTTY' | 'write'> => ({
      isTTY,
      write: (text: string | Uint8Array) => {
        written += String(text);
        return true;
      },
    });
    beforeEach(() => {
      written = '';
    });

    it('grows with the time', () => {
      let now = 0;
      const line = new ProgressLine(stream(true), 1000, () => now);
      now = 500;
      line.show('reading', 17);
      expect(written).to.contain(`[${'#'.repeat(15)}${'.'.repeat(15)}]  50 %  reading: 17`);
      now = 5000;
      line.show('reading', 18);
      expect(written).to.contain('100 %');
    });

    it('is not there without a terminal', () => {
      const line = new ProgressLine(stream(false), 1000);
      line.show('reading', 1);
      line.clear();
      expect(written).to.equal('');
    });
  });
});
