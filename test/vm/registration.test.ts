/** Every way of registering memory, and several sessions for one device, with data verified. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { iserctlPath, runOk } from '../helpers/programs.ts';
import { fioVerify, isAttached } from './guest/block-device.ts';
import { sessionsAtTarget, ways } from './guest/machine.ts';
import { ServedVolume } from './guest/served-volume.ts';

const mebibyte = 2 ** 20;
const overIser = ways.filter(({ transport }) => transport === 'iser');
/** `cache` is what every other test uses. */
const strategies = [
  // The arena, and what is set apart for sessions.
  { strategy: 'static', pinned: [256 * mebibyte, 288 * mebibyte] },
  { strategy: 'copy', pinned: [16 * mebibyte, 64 * mebibyte] },
  { strategy: 'per-io', pinned: [0, 16 * mebibyte] },
] as const;

for (const way of overIser) {
  for (const { strategy, pinned } of strategies) {
    describe(`--registration ${strategy} at ${way.name}`, () => {
      let volume: ServedVolume;

      before(async () => {
        volume = await ServedVolume.start(way.url, '--registration', strategy);
      });
      after(() => volume.remove());

      it('keeps what fio writes, and says in its status what it has pinned', async () => {
        await runOk('fio', fioVerify(volume.device, { sizeBytes: 6 * mebibyte }));
        const [lane] = (await volume.status()).lanes;
        const [registration] = lane.registrations;
        expect(registration.strategy).to.equal(strategy);
        expect(registration.pinnedBytes).to.be.within(pinned[0], pinned[1]);
        expect(registration.failures).to.equal(0);
        expect(lane.requestsInFlight).to.equal(0);
      });
    });
  }
}

for (const way of ways) {
  describe(`--lanes 2 at ${way.name}`, () => {
    let volume: ServedVolume;

    before(async () => {
      volume = await ServedVolume.start(way.url, '--lanes', '2');
    });
    after(() => volume.remove());

    it('has two sessions and two sockets for one device', async () => {
      expect(await sessionsAtTarget(way)).to.equal(2);
      const { sessions } = (await volume.status()).volumes[0];
      expect(sessions.map(({ state, clients }) => ({ state, clients }))).to.deep.equal([
        { state: 'up', clients: 1 },
        { state: 'up', clients: 1 },
      ]);
    });

    it('keeps what two jobs write with flushes in between, over both sessions', async () => {
      const extra = ['--fsync=32'];
      await runOk('fio', fioVerify(volume.device, { sizeBytes: 4 * mebibyte, jobs: 2, extra }));
      const { sessions } = (await volume.status()).volumes[0];
      for (const { writes, errors } of sessions) {
        expect(writes).to.be.greaterThan(0);
        expect(errors).to.equal(0);
      }
    });

    it('is detached and logged out on both sessions after SIGTERM', async () => {
      const { device } = volume;
      const { code, stderr } = await volume.stop();
      expect(code, stderr).to.equal(0);
      expect(isAttached(device)).to.equal(false);
    });
  });
}

describe('a device in use', () => {
  let volume: ServedVolume;

  before(async () => {
    volume = await ServedVolume.start('tgt_iser_url');
  });
  after(() => volume.remove());

  it('is not taken away by a second daemon, and the first goes on', async () => {
    const second = new ServedVolume('lio_iser_url', '--device', volume.device);
    const backend = (): string =>
      readFileSync(`/sys/block/${volume.device.replace('/dev/', '')}/backend`, 'utf8');
    const before = backend();
    let refusal = '';
    await second.start().catch((error: unknown) => {
      refusal = (error as Error).message;
    });
    expect(refusal)
      .to.match(/ended \(1\)/)
      .and.to.contain(`${volume.device} is attached already`);
    expect(backend()).to.equal(before);
    await runOk('fio', fioVerify(volume.device, { sizeBytes: 2 * mebibyte }));
    await second.remove();
  });

  it('shows up in iserctl status', async () => {
    const argv = [iserctlPath, 'status', '--verbose', '--socket', volume.controlSocket];
    const printed = await runOk(process.execPath, argv);
    expect(printed).to.contain(volume.device).and.to.contain('REGISTRATION');
  });
});
