import { expect } from 'chai';
import fc from 'fast-check';
import { LatencyHistogram } from '../../../../daemon/cli/bench-latency.ts';

describe('latencies of the bench', () => {
  it('are nothing before something was recorded', () => {
    const latencies = new LatencyHistogram();
    expect([latencies.count, latencies.mean, latencies.largest]).to.deep.equal([0, 0, 0]);
    expect(latencies.quantile(0.99)).to.equal(0);
  });

  it('are what sorting says, to 2 %', () => {
    const values = fc.array(fc.double({ min: 0, max: 1e8, noNaN: true }), {
      minLength: 1,
      maxLength: 300,
    });
    fc.assert(
      fc.property(values, fc.constantFrom(0, 0.5, 0.99, 1), (recorded, share) => {
        const latencies = new LatencyHistogram();
        for (const value of recorded) latencies.record(value);
        const sorted = recorded.toSorted((a, b) => a - b);
        const exact = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
        expect(latencies.quantile(share)).to.be.closeTo(exact, 1 + exact * 0.02);
        expect(latencies.largest).to.equal(sorted.at(-1));
        expect(latencies.count).to.equal(sorted.length);
      }),
    );
  });

  it('have an exact mean', () => {
    const latencies = new LatencyHistogram();
    for (const value of [100, 200, 900]) latencies.record(value);
    expect(latencies.mean).to.equal(400);
  });

  it('may be longer than anybody waits', () => {
    const latencies = new LatencyHistogram();
    latencies.record(2 ** 45);
    expect(latencies.quantile(0.5)).to.be.above(2 ** 39);
  });
});
