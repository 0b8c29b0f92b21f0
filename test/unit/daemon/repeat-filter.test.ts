import { expect } from 'chai';
import { RepeatFilter } from '../../../daemon/repeat-filter.ts';
import { FakeTimers } from '../../helpers/fake-timers.ts';

describe('the filter of repeats', () => {
  let timers: FakeTimers;
  let reports: (readonly [string, number])[];
  let filter: RepeatFilter<string>;

  beforeEach(() => {
    timers = new FakeTimers();
    reports = [];
    filter = new RepeatFilter(timers, (last, repeats, seconds) => {
      expect(seconds).to.equal(60);
      reports.push([last, repeats]);
    });
  });

  const say = (kind: string, count: number): number =>
    Array.from({ length: count }, (_, index) => filter.admits(kind, `${kind}${index}`)).filter(
      Boolean,
    ).length;

  it('lets ten of a kind through in a minute, and then says how many more there were', () => {
    expect(say('a', 67)).to.equal(10);
    expect(reports).to.deep.equal([]);
    timers.advance(60_000);
    expect(reports).to.deep.equal([['a66', 57]]);
    expect(timers.armed).to.equal(0);
  });

  it('begins anew after a minute', () => {
    say('a', 11);
    timers.advance(60_000);
    expect(say('a', 3)).to.equal(3);
    timers.advance(60_000);
    expect(reports).to.have.lengthOf(1);
  });

  it('says nothing of what was not repeated', () => {
    say('a', 10);
    timers.advance(120_000);
    expect(reports).to.deep.equal([]);
  });

  it('counts each kind for itself', () => {
    say('a', 12);
    expect(say('b', 12)).to.equal(10);
    timers.advance(60_000);
    expect(reports).to.deep.equal([
      ['a11', 2],
      ['b11', 2],
    ]);
  });

  it('takes any number of kinds without growing', () => {
    let admitted = 0;
    for (let kind = 0; kind < 5000; kind++) admitted += say(`kind ${kind} `, 1);
    expect(admitted).to.equal(1010);
    expect(timers.armed).to.equal(1001);
  });

  it('reports at once when it is closed', () => {
    say('a', 15);
    filter.close();
    expect(reports).to.deep.equal([['a14', 5]]);
    expect(timers.armed).to.equal(0);
  });
});
