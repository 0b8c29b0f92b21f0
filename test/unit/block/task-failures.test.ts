import { expect } from 'chai';
import { BlockError, BlockOperation } from '../../../src/block/request-table.ts';
import { BlockFixture } from '../../helpers/block-fixture.ts';
import { checkCondition, statusOnly, type ScsiAnswer } from '../../helpers/ram-logical-unit.ts';

const { read, write } = BlockOperation;

describe('SCSI commands that failed for good', () => {
  const cases: readonly (readonly [string, ScsiAnswer, BlockError, string])[] = [
    ['a medium error', checkCondition(3, 0x1100), BlockError.ioError, 'medium-error'],
    ['write protection', checkCondition(7, 0x2700), BlockError.notPermitted, 'data-protect'],
    ['a reservation', statusOnly(0x18), BlockError.ioError, 'reservation-conflict'],
    ['a status that no standard knows', statusOnly(0x7e), BlockError.ioError, 'unknown-status'],
    ['attempts used up', checkCondition(0xb, 0x4400), BlockError.ioError, 'aborted-command'],
  ];
  for (const [what, answer, error, cause] of cases)
    it(`are counted by their cause: ${what}`, async () => {
      const fixture = await BlockFixture.create({ blocks: 2048, blockLength: 512 });
      fixture.unit.fault = () => answer;
      expect(fixture.run(write, 0, 512)).to.equal(error);
      expect(fixture.device.statistics.failures.byCause).to.deep.equal({ [cause]: 1 });
    });

  it('are not those that another attempt has cured', async () => {
    const fixture = await BlockFixture.create({ blocks: 2048, blockLength: 512 });
    let left = 1;
    fixture.unit.fault = () => (left-- > 0 ? checkCondition(6, 0x2900) : undefined);
    expect(fixture.run(read, 0, 512)).to.equal(BlockError.none);
    expect(fixture.device.statistics.failures.byCause).to.deep.equal({});
  });
});
