import { expect } from 'chai';
import { reviseProfile } from '../../../src/block/revision.ts';
import type { LogicalUnitProfile } from '../../../src/block/profile.ts';
import { BlockFixture } from '../../helpers/block-fixture.ts';

describe('a logical unit that is found changed', () => {
  let served: LogicalUnitProfile;

  before(async () => {
    served = (await BlockFixture.create({ blocks: 1000, blockLength: 512 })).device.profile;
  });

  const sized = (blocks: number, more: Partial<LogicalUnitProfile> = {}): LogicalUnitProfile => ({
    ...served,
    ...more,
    blocks,
    identity: { ...served.identity, blocks },
  });

  it('is served as found when it has grown', () => {
    const found = sized(2000);
    expect(reviseProfile(served, found)).to.deep.equal({
      difference: 'capacity-grown',
      profile: found,
    });
  });

  it('keeps its size when it has shrunk, and is otherwise served as found', () => {
    const { difference, profile } = reviseProfile(served, sized(500, { readOnly: true }));
    expect(difference).to.equal('capacity-shrunk');
    expect(profile).to.deep.equal(sized(1000, { readOnly: true }));
  });

  it('may grow again after it has shrunk', () => {
    const kept = reviseProfile(served, sized(500)).profile ?? served;
    expect(reviseProfile(kept, sized(1000)).difference).to.equal('none');
    expect(reviseProfile(kept, sized(1500)).profile?.blocks).to.equal(1500);
  });

  it('is not served when it has another name', () => {
    const found = { ...served, identity: { ...served.identity, name: 'naa.6' } };
    expect(reviseProfile(served, found)).to.deep.equal({
      difference: 'other-logical-unit',
      profile: undefined,
    });
  });

  it('is not served when it has another block length', () => {
    const identity = { ...served.identity, logicalBlockLength: 4096 };
    const found = { ...served, logicalBlockLength: 4096, identity };
    expect(reviseProfile(served, found).profile).to.equal(undefined);
  });
});
