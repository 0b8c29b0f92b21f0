import { expect } from 'chai';
import { strategyNames } from '../../../../src/memory/registration-strategies.ts';
import { parseStrategiesOptions } from '../../../bench/strategies/options.ts';
import { planOf } from '../../../bench/strategies/plan.ts';

const everything = { quick: false, only: '', volumes: 0 };

describe('bench strategies: plan', () => {
  it('has every strategy that there is side by side', () => {
    const { contenders, cells } = planOf('strategies', everything);
    expect(contenders.map(({ name }) => name)).to.include.members([...strategyNames]);
    expect(contenders.filter(({ isPaged }) => isPaged).map(({ name }) => name)).to.deep.equal([
      'odp',
    ]);
    expect(cells).to.have.length(6);
  });

  it('starves the cache, and gives it plenty', () => {
    const { contenders } = planOf('limits', everything);
    expect(contenders[0].name).to.equal('512-KiB');
    expect(contenders[0].configuration).to.equal(
      '[memory]\nregistration = "cache"\npin_limit = 524288',
    );
    expect(contenders.at(-1)?.configuration).to.contain(`pin_limit = ${64 * 2 ** 20}`);
  });

  it('leaves out what was not asked for', () => {
    const { contenders, cells } = planOf('volumes', { quick: false, only: 'stat', volumes: 64 });
    expect(contenders.map(({ name }) => name)).to.deep.equal(['static']);
    expect(cells.map(({ volumes }) => volumes)).to.deep.equal([64]);
  });

  it('is small when it is quick', () => {
    const { cells } = planOf('volumes', { ...everything, quick: true });
    expect(cells.map(({ volumes }) => volumes)).to.deep.equal([1, 8]);
    expect(planOf('strategies', { ...everything, quick: true }).cells).to.have.length(3);
  });
});

describe('bench strategies: options', () => {
  it('have three rounds of 3 s of all parts unless told otherwise', () => {
    const options = parseStrategiesOptions([]);
    expect(options).to.include({ rounds: 3, seconds: 3, add: false, only: '', volumes: 0 });
    expect(options.parts).to.deep.equal(['strategies', 'limits', 'volumes', 'registration']);
  });

  it('choose parts, rounds and contenders', () => {
    const options = parseStrategiesOptions(['--part', 'limits', '--add', '--rounds', '2']);
    expect(options).to.include({ rounds: 2, add: true });
    expect(options.parts).to.deep.equal(['limits']);
    expect(parseStrategiesOptions(['--quick'])).to.include({ rounds: 1, seconds: 1 });
  });

  it('name what they cannot take', () => {
    for (const [argv, complaint] of [
      [['--part', 'some'], '--part: "some" is no part'],
      [['--rounds', 'x'], '--rounds: "x" is no count'],
      [['--volumes', '-1'], '--volumes'],
    ] as const)
      expect(() => parseStrategiesOptions(argv)).to.throw(complaint);
  });
});
