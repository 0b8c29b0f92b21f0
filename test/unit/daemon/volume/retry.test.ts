import { expect } from 'chai';
import { VolumeRetry } from '../../../../daemon/volume/retry.ts';
import type { Volume } from '../../../../daemon/volume/volume.ts';
import { FakeTimers } from '../../../helpers/fake-timers.ts';

/** A volume whose `start` fails as often as it is told, and the pauses between attempts. */
function retried(failures: number) {
  const timers = new FakeTimers();
  const pauses: number[] = [];
  let attempts = 0;
  let served = 0;
  const volume = {
    start: () => (attempts++ < failures ? Promise.reject(new Error('refused')) : Promise.resolve()),
  } as unknown as Volume;
  const retry = new VolumeRetry({
    volume,
    timers,
    random: () => 0,
    onServing: () => {
      served++;
    },
    onFailure: (_, pauseMs) => pauses.push(pauseMs),
  });
  return {
    retry,
    pauses,
    attempts: () => attempts,
    served: () => served,
    async pass(milliseconds: number): Promise<void> {
      timers.advance(milliseconds);
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('a volume that is tried again', () => {
  it('is started after pauses that grow to a minute, until it serves', async () => {
    const volume = retried(8);
    volume.retry.onFailure(new Error('first'));
    for (let i = 0; i < 9; i++) await volume.pass(60_000);
    expect(volume.pauses.map((pauseMs) => pauseMs / 1000)).to.deep.equal([
      1, 2, 4, 8, 16, 32, 60, 60, 60,
    ]);
    expect(volume.attempts()).to.equal(9);
    expect(volume.served()).to.equal(1);
    await volume.pass(600_000);
    expect(volume.attempts()).to.equal(9);
  });

  it('is not started before its pause is over', async () => {
    const volume = retried(0);
    volume.retry.onFailure(new Error('first'));
    await volume.pass(999);
    expect(volume.attempts()).to.equal(0);
  });

  it('is started no more once that is stopped', async () => {
    const volume = retried(1);
    volume.retry.onFailure(new Error('first'));
    volume.retry.stop();
    await volume.pass(600_000);
    expect(volume.attempts()).to.equal(0);
    volume.retry.onFailure(new Error('the attempt that was under way'));
    await volume.pass(600_000);
    expect(volume.attempts()).to.equal(0);
  });
});
