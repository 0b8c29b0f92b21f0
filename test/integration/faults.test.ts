/** The lines of the fault matrix that any machine can do: tgt over TCP, behind a proxy that lies or not. */
import { expect } from 'chai';
import { Bed } from '../faults/bed.ts';
import { selectLines } from '../faults/lines.ts';
import { runLine } from '../faults/run-line.ts';

describe('under 32 writes, every acknowledged one of which is read back', function () {
  this.timeout(180_000);
  let bed: Bed;

  before(async () => {
    bed = await Bed.onHost();
  });
  after(() => bed.close());

  for (const { fault, way } of selectLines({ quick: true, host: true, only: '' })) {
    it(`${fault.name}: ${way.name}`, async () => {
      const { problems } = await runLine(bed, fault, way, true);
      expect(problems).to.deep.equal([]);
    });
  }
});
