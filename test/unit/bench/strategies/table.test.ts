import { expect } from 'chai';
import type { Cell } from '../../../bench/grid.ts';
import type {
  Counters,
  PartResult,
  Pins,
  StrategiesRun,
  StrategySample,
} from '../../../bench/strategies/results.ts';
import { difference } from '../../../bench/strategies/results.ts';
import { strategiesMarkdown } from '../../../bench/strategies/table.ts';
import { sampleResult } from '../sample-result.ts';

const mebibyte = 2 ** 20;
const cell: Cell = { pattern: 'randread', blockSize: 4096, depth: 32, volumes: 1 };
const counters: Counters = {
  requests: 100,
  cpuMicroseconds: 5000,
  hits: 75,
  misses: 25,
  failures: 50,
  evictions: 10,
  registrationMicroseconds: 2000,
};

function pins(mebibytes: number): Pins {
  return { pinnedBytes: mebibytes * mebibyte, processPinnedBytes: (mebibytes + 3) * mebibyte };
}

function sample(contender: string, round: number, iops: number, more: Partial<Cell> = {}) {
  return {
    ...{ contender, round, iops, cell: { ...cell, ...more }, counters, pins: pins(round) },
    bytesPerSecond: iops * mebibyte,
    meanLatencyMicroseconds: 1000,
    p99LatencyMicroseconds: 2000,
    p999LatencyMicroseconds: 3000,
  } satisfies StrategySample;
}

function run(more: Partial<StrategiesRun>): StrategiesRun {
  const { machine, date } = sampleResult([]);
  return { date, seconds: 3, machine, troubles: [], samples: [], idle: [], times: [], ...more };
}

/** Cells of the lines that begin with this name. */
function rows(text: string, name: string): string[][] {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`| ${name}`))
    .map((line) =>
      line
        .split('|')
        .slice(2, -1)
        .map((word) => word.trim()),
    );
}

function markdownOf(part: PartResult['part'], ...runs: StrategiesRun[]): string {
  return strategiesMarkdown([{ part, quick: false, runs }]);
}

describe('bench strategies: table', () => {
  it('shows medians over the rounds of all runs, CPU time, registering and pins', () => {
    const idle = [{ contender: 'cache', volumes: 1, moment: 'start', ...pins(0) }] as const;
    const text = markdownOf(
      'strategies',
      run({ samples: [sample('cache', 1, 100), sample('static', 1, 200)], idle }),
      run({ samples: [sample('cache', 2, 300)] }),
    );
    expect(rows(text, '4 KiB random read QD32, IOPS')).to.deep.equal([['200 (100–300)', '200']]);
    const [, cpu, registering, pinned] = rows(text, '4 KiB random read QD32');
    expect(cpu).to.deep.equal(['50.0 (50.0–50.0)', '50.0']);
    expect(registering[1]).to.equal('20.0; 250');
    expect(pinned).to.deep.equal(['2.00 / 5.00', '1.00 / 4.00']);
    expect(rows(text, 'started')).to.deep.equal([['0.00 / 3.00', '–']]);
    expect(rows(text, '35 s later')).to.deep.equal([['–', '–']]);
  });

  it('asks of each workload what it is about', () => {
    const samples = [
      sample('cache', 1, 50, { depth: 1 }),
      sample('cache', 1, 50, { blockSize: 2 ** 18, depth: 8 }),
    ];
    const text = markdownOf('strategies', run({ samples }));
    expect(rows(text, '4 KiB random read QD1, mean latency, µs')).to.deep.equal([['1000']]);
    expect(rows(text, '256 KiB random read QD8, MiB/s')).to.deep.equal([['50.0']]);
  });

  it('shows what a limit costs', () => {
    const text = markdownOf('limits', run({ samples: [sample('512-KiB', 1, 100)] }));
    expect(rows(text, '512 KiB')).to.deep.equal([
      ['100', '1000', '50.0', '75.0', '20.0', '0.100', '0.500', '1.00 / 4.00'],
    ]);
  });

  it('shows requests and pinned memory by volumes, before and under load', () => {
    const samples = [sample('cache', 1, 100, { volumes: 8 })];
    const idle = [{ contender: 'cache', volumes: 8, moment: 'start', ...pins(0.5) }] as const;
    const text = markdownOf('volumes', run({ samples, idle }));
    expect(rows(text, '8, started')).to.deep.equal([['0.500 / 3.50']]);
    expect(rows(text, '8, under load')).to.deep.equal([['1.00 / 4.00']]);
    expect(rows(text, '4 KiB random read QD32, 8 volumes, IOPS')).to.deep.equal([['100']]);
  });

  it('shows what one registration costs, where the kind could be measured', () => {
    const time = { bytes: 4096, deregisterMicroseconds: 2, repetitions: 50 };
    const text = markdownOf(
      'registration',
      run({
        times: [
          { ...time, kind: 'pinned', registerMicroseconds: 10 },
          { ...time, kind: 'on demand', registerMicroseconds: 5 },
          { ...time, bytes: 65_536, kind: 'pinned', registerMicroseconds: 100 },
        ],
      }),
    );
    expect(rows(text, '4 KiB')).to.deep.equal([['10.0 / 2.00', '5.00 / 2.00']]);
    expect(rows(text, '64 KiB')).to.deep.equal([['100 / 2.00', '–']]);
  });

  it('says who could not take part, once, and leaves out parts without runs', () => {
    const troubles = [{ contender: 'odp', reason: 'no |\npaging' }];
    const text = markdownOf('strategies', run({ troubles }), run({ troubles }));
    expect(text.match(/\*\*odp\*\*: no \\\| paging/g)).to.have.length(1);
    expect(markdownOf('limits')).to.not.contain('##');
  });
});

describe('bench strategies: counters', () => {
  it('are those of the measurement', () => {
    const twice = Object.fromEntries(
      Object.entries(counters).map(([name, value]) => [name, 2 * value]),
    ) as unknown as Counters;
    expect(difference(twice, counters)).to.deep.equal(counters);
  });
});
