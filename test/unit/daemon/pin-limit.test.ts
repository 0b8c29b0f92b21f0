import { expect } from 'chai';
import { lanePinLimit } from '../../../daemon/lane/pin-limit.ts';

const mebibyte = 2 ** 20;
const options = {
  configuredBytes: 256 * mebibyte,
  pinnableBytes: 64 * mebibyte,
  lanes: 2,
  sessions: 4,
  connectionBytes: 3 * mebibyte,
};

describe('the pin limit of a lane', () => {
  it('is what is configured when the process may pin all it likes', () => {
    expect(lanePinLimit({ ...options, pinnableBytes: Infinity })).to.equal(256 * mebibyte);
  });

  it('is an equal share of what the process may pin, less what connections need', () => {
    expect(lanePinLimit(options)).to.equal(20 * mebibyte);
  });

  it('is not raised above what is configured', () => {
    expect(lanePinLimit({ ...options, configuredBytes: mebibyte })).to.equal(mebibyte);
  });

  it('lets one request be served however little there is', () => {
    expect(lanePinLimit({ ...options, pinnableBytes: 65_536 })).to.equal(mebibyte);
  });
});
