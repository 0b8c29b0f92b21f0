import { expect } from 'chai';
import { compare } from '../../bench/instructions/comparison.ts';
import { contendersOf } from '../../bench/instructions/contenders.ts';
import { costsBetween, countersCommand, parseCounters } from '../../bench/instructions/counters.ts';
import { fixedWorkArguments } from '../../bench/instructions/fixed-work.ts';
import { parseOptions } from '../../bench/instructions/options.ts';
import { figureText, markdown } from '../../bench/instructions/report.ts';
import type { InstructionSample } from '../../bench/instructions/samples.ts';
import { requestsOf, workloadsWith } from '../../bench/instructions/workloads.ts';
import { workloadName } from '../../bench/workload.ts';
import { repository } from '../../helpers/programs.ts';

/** What the kernel prints, without most of it. */
function printed(now: number, idle: number, times: readonly number[]): string {
  return [
    'Timer List Version: v0.9',
    'HRTIMER_MAX_CLOCK_BASES: 8',
    `now at ${now} nsecs`,
    '',
    'cpu: 0',
    ' clock 0:',
    '  .base:       00000000d3a4b4a3',
    '  .idle_calls     : 31',
    `  .idle_sleeptime : ${idle} nsecs`,
    '  .iowait_sleeptime: 7 nsecs',
    ...times.map((time) => `${time} 99 3`),
    '',
  ].join('\n');
}

const sample = (
  server: string,
  round: number,
  daemon: number,
  workload = '4 KiB random read QD1',
): InstructionSample => ({
  server,
  workload,
  round,
  passes: [],
  daemon,
  client: 1000,
  machine: 3 * daemon + 1000,
});

describe('bench instructions: counters', () => {
  it('asks for the clock, the process that makes the requests and all threads of the daemons', () => {
    expect(countersCommand([12, 34])).to.equal(
      'cat /proc/timer_list /proc/$PPID/schedstat /proc/12/task/*/schedstat /proc/34/task/*/schedstat',
    );
  });

  it('reads what the kernel prints', () => {
    expect(parseCounters(printed(5000, 1000, [10, 20, 30]))).to.deep.equal({
      now: 5000,
      idle: 1007,
      client: 10,
      daemon: 50,
    });
  });

  it('wants a single CPU, and somebody who serves', () => {
    const one = printed(5000, 1000, [10, 20]);
    expect(() => parseCounters(one + one)).to.throw('2 times');
    expect(() => parseCounters(printed(5000, 1000, [10]))).to.throw('daemon');
    expect(() => parseCounters('cat: /proc/timer_list: No such file or directory')).to.throw();
  });

  it('counts everything that was not idle, per request', () => {
    const before = { now: 1000, idle: 100, client: 10, daemon: 20 };
    const after = { now: 9000, idle: 2100, client: 1010, daemon: 2020 };
    expect(costsBetween(before, after, 10)).to.deep.equal({
      daemon: 200,
      client: 100,
      machine: 600,
    });
  });
});

describe('bench instructions: workloads', () => {
  it('are six, chosen by words of their names', () => {
    expect(workloadsWith('').map(workloadName)).to.deep.equal([
      '4 KiB random read QD1',
      '4 KiB random write QD1',
      '4 KiB random read QD32',
      '4 KiB random write QD32',
      '256 KiB read QD8',
      '256 KiB write QD8',
    ]);
    expect(workloadsWith('write QD1').map(workloadName)).to.deep.equal(['4 KiB random write QD1']);
  });

  it('have so many requests, in any size, always the same', () => {
    const [large] = workloadsWith('256 KiB read');
    expect(requestsOf(large, 5000)).to.equal(500);
    const [small] = workloadsWith('random write QD32');
    expect(requestsOf(small, 5000)).to.equal(5000);
  });

  it('are jobs of one fio, one after the other, that read the counters themselves', () => {
    const works = workloadsWith('QD1').map((workload) => ({ ...workload, requests: 500 }));
    const argv = fixedWorkArguments(works, {
      device: '/dev/nbd0',
      deviceMebibytes: 64,
      daemonPids: [12],
      directory: '/somewhere',
    });
    const first = argv.indexOf('--name=work0');
    const second = argv.indexOf('--name=work1');
    expect(argv.slice(0, first)).to.include.members([
      '--filename=/dev/nbd0',
      '--size=64m',
      '--randrepeat=1',
      `--exec_prerun=${countersCommand([12])}`,
      `--exec_postrun=${countersCommand([12])}`,
    ]);
    expect(argv.slice(first + 1, second)).to.include.members(['--rw=randread', '--stonewall']);
    expect(argv.slice(second + 1)).to.include.members(['--rw=randwrite', '--io_size=2048000']);
  });
});

describe('bench instructions: comparison', () => {
  it('takes medians, and how far apart the rounds lie', () => {
    const [row] = compare([1, 2, 3].map((round) => sample('iserd TCP', round, 980 + 10 * round)));
    expect(row.figures.daemon).to.deep.equal({
      median: 1000,
      minimum: 990,
      maximum: 1010,
      apart: 0.02,
    });
    expect(row.figures['all but fio'].median).to.equal(3000);
    expect(row.figures.machine.median).to.equal(4000);
  });

  it('has changes against the first server over the same transport', () => {
    const rows = compare([
      sample('iserd old TCP', 1, 1000),
      sample('iserd old iSER', 1, 2000),
      sample('iserd new TCP', 1, 1020),
      sample('iserd new iSER', 1, 1900),
    ]);
    expect(rows.map(({ server, figures }) => [server, figures.daemon.change])).to.deep.equal([
      ['iserd old TCP', undefined],
      ['iserd old iSER', undefined],
      ['iserd new TCP', 1020 / 1000 - 1],
      ['iserd new iSER', 1900 / 2000 - 1],
    ]);
  });

  it('keeps workloads apart, and does without those that a server has not done', () => {
    const rows = compare([
      sample('iserd TCP', 1, 1000, 'a'),
      sample('iserd TCP', 1, 3000, 'b'),
      sample('qemu-nbd TCP', 1, 1500, 'a'),
    ]);
    expect(rows.map(({ workload, server }) => [workload, server])).to.deep.equal([
      ['a', 'iserd TCP'],
      ['a', 'qemu-nbd TCP'],
      ['b', 'iserd TCP'],
    ]);
  });
});

describe('bench instructions: report', () => {
  it('shows thousands, how far apart they lie, and the change', () => {
    const figure = { median: 85_314, minimum: 85_000, maximum: 85_400, apart: 0.0047 };
    expect(figureText(figure)).to.equal('85.31 (0.5 %)');
    expect(figureText({ ...figure, change: 0.0213 })).to.equal('85.31 (0.5 %) +2.1 %');
    expect(figureText({ ...figure, change: -0.0213 })).to.equal('85.31 (0.5 %) -2.1 %');
  });

  it('has a line for every workload and server, and says what went wrong', () => {
    const text = markdown({
      date: '2026-01-02T03:04:05.000Z',
      machine: {
        kind: 'a guest',
        cpu: 'a CPU',
        cpuCount: 1,
        memoryMebibytes: 1024,
        kernel: '6.1',
        commit: 'abc',
        versions: { node: '20.0.0' },
      },
      trees: [{ name: 'here', directory: '/somewhere' }],
      requests: 100,
      samples: [sample('iserd TCP', 1, 1000), sample('qemu-nbd TCP', 1, 2000)],
      troubles: ['qemu-nbd iSER, round 1: gone'],
    });
    expect(text).to.include('- qemu-nbd iSER, round 1: gone\n');
    expect(text).to.include('here is /somewhere');
    expect(text).to.match(/^\| 4 KiB random read QD1 \| qemu-nbd TCP \| 2\.00 \(0\.0 %\) \+100/m);
  });
});

describe('bench instructions: options', () => {
  it('measures this tree, three rounds, unless told otherwise', () => {
    expect(parseOptions([])).to.deep.equal({
      trees: [{ name: 'here', directory: repository.replace(/\/$/, '') }],
      rounds: 3,
      requests: 2000,
      only: '',
      server: '',
    });
  });

  it('takes trees by name, and names servers by them', () => {
    const options = parseOptions(['--tree', 'old=/a/b', '--tree', 'new=/c', '--server', 'TCP']);
    expect(options.trees).to.deep.equal([
      { name: 'old', directory: '/a/b' },
      { name: 'new', directory: '/c' },
    ]);
    expect(contendersOf(options).map(({ label }) => label)).to.deep.equal([
      'iserd old TCP',
      'iserd new TCP',
      'qemu-nbd TCP',
    ]);
  });

  it('has no need of names for a single tree', () => {
    expect(contendersOf(parseOptions([])).map(({ label }) => label)).to.deep.equal([
      'iserd TCP',
      'iserd iSER',
      'qemu-nbd TCP',
      'qemu-nbd iSER',
    ]);
  });

  for (const [argv, word] of [
    [['--tree', 'x'], '--tree'],
    [['--tree', 'x=/tmp/y'], 'does not see /tmp/y'],
    [['--tree', 'x=/a', '--tree', 'x=/b'], 'a name of its own'],
    [['--rounds', '0'], '--rounds'],
    [['--requests', 'many'], '--requests'],
    [['--fast'], '--fast'],
  ] as const)
    it(`refuses ${argv.join(' ')}`, () => {
      expect(() => parseOptions(argv)).to.throw(word);
    });
});
