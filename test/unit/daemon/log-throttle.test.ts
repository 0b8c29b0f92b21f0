import { expect } from 'chai';
import { LogThrottle } from '../../../daemon/lane/log-throttle.ts';

describe('what a peer can make us log', () => {
  it('is twenty messages in ten seconds, and the number of the others', () => {
    let now = 1000;
    const throttle = new LogThrottle(() => now);
    const admitted = Array.from({ length: 1000 }, () => throttle.admits()).filter(Boolean);
    expect(admitted).to.have.lengthOf(20);
    expect(throttle.takeSuppressed()).to.equal(980);
    expect(throttle.takeSuppressed()).to.equal(0);
    now += 9999;
    expect(throttle.admits()).to.equal(false);
    now += 1;
    expect(throttle.admits()).to.equal(true);
    expect(throttle.takeSuppressed()).to.equal(1);
  });
});
