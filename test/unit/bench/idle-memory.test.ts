import { expect } from 'chai';
import { parseSmapsRollup, residentMemory } from '../../bench/idle-memory-smaps.ts';

const rollup = `55d0c8a00000-7ffd3a9f3000 ---p 00000000 00:00 0                          [rollup]
Rss:               81920 kB
Pss:               40960 kB
Pss_Dirty:         12345 kB
Pss_Anon:          12344 kB
Shared_Clean:      40000 kB
Private_Dirty:     12345 kB
SwapPss:               0 kB
`;

describe('bench idle memory', () => {
  it('reads resident and proportional size', () => {
    expect(parseSmapsRollup(rollup)).to.deep.equal({
      rssBytes: 80 * 2 ** 20,
      pssBytes: 40 * 2 ** 20,
    });
  });

  it('does not take what is missing for nothing', () => {
    expect(() => parseSmapsRollup(rollup.replace('Pss:', 'Pss_File:'))).to.throw('no Pss');
    expect(() => parseSmapsRollup('')).to.throw('no Rss');
  });

  it('adds processes up', () => {
    const one = residentMemory([process.pid]);
    const two = residentMemory([process.pid, process.pid]);
    expect(one.pssBytes).to.be.within(1, one.rssBytes);
    expect(two.rssBytes / one.rssBytes).to.be.within(1.9, 2.1);
    expect(residentMemory([])).to.deep.equal({ rssBytes: 0, pssBytes: 0 });
  });
});
