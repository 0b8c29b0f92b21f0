import { expect } from 'chai';
import { fioArguments, sumOf } from '../../bench/fio.ts';
import { parseOptions } from '../../bench/options.ts';
import { durationText } from '../../bench/progress.ts';

describe('bench options', () => {
  it('measures the six charts everywhere, three rounds, unless told otherwise', () => {
    expect(parseOptions([])).to.deep.equal({
      places: ['host', 'vm-tgt', 'vm-lio'],
      grid: 'charts',
      field: 'peers',
      quick: false,
      rounds: 3,
      seconds: 3,
      chartsOnly: false,
    });
  });

  it('takes "vm" for both targets in the VM', () => {
    expect(parseOptions(['--place', 'vm']).places).to.deep.equal(['vm-tgt', 'vm-lio']);
    expect(parseOptions(['--place', 'vm-lio']).places).to.deep.equal(['vm-lio']);
  });

  it('is quick in one round of a second, unless told otherwise', () => {
    expect(parseOptions(['--quick'])).to.include({ quick: true, rounds: 1, seconds: 1 });
    expect(parseOptions(['--quick', '--rounds', '2'])).to.include({ rounds: 2, seconds: 1 });
  });

  it('takes ten minutes for the tail, in turns of one', () => {
    expect(parseOptions(['--grid', 'tail'])).to.include({ rounds: 10, seconds: 60 });
  });

  for (const [argv, word] of [
    [['--place', 'moon'], '--place'],
    [['--grid', 'x'], '--grid'],
    [['--field', 'x'], '--field'],
    [['--rounds', '0'], '--rounds'],
    [['--seconds', '1.5'], '--seconds'],
    [['--fast'], '--fast'],
  ] as const)
    it(`refuses ${argv.join(' ')}`, () => {
      expect(() => parseOptions(argv)).to.throw(word);
    });
});

describe('bench fio', () => {
  it('gives every volume a job of its own', () => {
    const argv = fioArguments(
      [{ uri: 'nbd+unix:///?socket=/a' }, { device: '/dev/nbd1' }],
      { pattern: 'randrw', blockSize: 4096, depth: 8 },
      { seconds: 2, size: '64m' },
    );
    const first = argv.indexOf('--name=volume0');
    const second = argv.indexOf('--name=volume1');
    expect(argv.slice(0, first)).to.include.members(['--rw=randrw', '--rwmixread=70', '--bs=4096']);
    expect(argv.slice(first + 1, second)).to.deep.equal([
      '--ioengine=nbd',
      '--uri=nbd+unix:///?socket=/a',
    ]);
    expect(argv.slice(second + 1)).to.include('--filename=/dev/nbd1');
  });

  it('adds rates and weighs latencies by requests', () => {
    const side = (iops: number, meanNs: number, p99Ns: number) => ({
      iops,
      bw_bytes: iops * 4096,
      total_ios: iops,
      lat_ns: { mean: meanNs, percentile: { '99.000000': p99Ns, '99.900000': 2 * p99Ns } },
    });
    expect(sumOf([side(300, 1000, 5000), side(100, 5000, 9000)])).to.deep.equal({
      iops: 400,
      bytesPerSecond: 400 * 4096,
      meanLatencyMicroseconds: 2,
      p99LatencyMicroseconds: 9,
      p999LatencyMicroseconds: 18,
    });
    expect(() => sumOf([])).to.throw('no request');
  });
});

describe('bench progress', () => {
  it('speaks of time as people do', () => {
    expect([40_400, 300_000, 7_500_000].map(durationText)).to.deep.equal([
      '40 s',
      '5 min',
      '2 h 5 min',
    ]);
  });
});
