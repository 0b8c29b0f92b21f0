import { expect } from 'chai';
import type { FuzzTarget } from '../../fuzz/fuzz-target.ts';
import type { SeededRandom } from '../../fuzz/random.ts';
import { fuzz, inputOf } from '../../fuzz/runner.ts';
import { allTargets } from '../../fuzz/targets/index.ts';

const seed = 20261122;
/** By target; together some twenty seconds. */
const iterations: Readonly<Record<string, number>> = {
  'scsi-pages': 8000,
  'pdu-codecs': 8000,
  'login-engine': 4000,
  'text-keys': 4000,
  url: 8000,
  'control-lines': 4000,
  config: 1000,
  'nbd-handshake': 1000,
  'nbd-options': 1000,
  'nbd-requests': 1000,
  'nbd-requests-simple': 1000,
  'tcp-login': 300,
  'tcp-pdus': 300,
  'tcp-pdus-digests': 300,
  'iser-pdus': 300,
};

describe('fuzzing', function () {
  this.timeout(120_000);
  let targets: readonly FuzzTarget[];

  before(async () => {
    targets = await allTargets();
  });

  for (const [name, count] of Object.entries(iterations)) {
    it(`${name} ends in a result or an enumerated error, ${count} times`, async () => {
      const target = targets.find((each) => each.name === name);
      if (target === undefined) throw new Error(`no fuzz target ${name}`);
      const { failure } = await fuzz(target, { seed, iterations: count });
      if (failure === undefined) return;
      const hex = Buffer.from(failure.input).toString('hex');
      throw new Error(`iteration ${failure.iteration}, input ${hex}`, { cause: failure.error });
    });
  }

  it('leaves no target out', () => {
    expect(targets.map(({ name }) => name)).to.have.members(Object.keys(iterations));
  });

  it('makes the same input of the same seed and iteration', () => {
    for (const target of targets) {
      expect(inputOf(target, 7, 3)).to.deep.equal(inputOf(target, 7, 3));
    }
  });

  it('finds a planted bug, and says with which input', async () => {
    const planted: FuzzTarget = {
      name: 'planted',
      generate: (random: SeededRandom) => random.bytes(2),
      run(input) {
        if (input[0] === 77) throw new TypeError('planted');
      },
    };
    const { failure } = await fuzz(planted, { seed: 1, iterations: 100_000 });
    expect(failure?.input.at(0)).to.equal(77);
    expect(failure?.error).to.be.instanceOf(TypeError);
    expect(inputOf(planted, 1, failure?.iteration ?? -1)).to.deep.equal(failure?.input);
  });
});
