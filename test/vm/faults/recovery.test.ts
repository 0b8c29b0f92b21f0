/** Targets that die, shut their doors or stay away, and a link that goes down, under verified load on the kernel device. */
import { expect } from 'chai';
import { run, runOk } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { waitingProcesses } from '../guest/block-device.ts';
import { VerifiedLoad } from '../guest/load.ts';
import { targets, ways, type Way } from '../guest/machine.ts';
import { ServedVolume } from '../guest/served-volume.ts';

const lioPortalGroup = '$_fabric/$iqn_prefix:lio/tpgt_1';

/** Takes the target away and brings it back. */
async function interrupt(way: Way): Promise<void> {
  if (way.target === 'tgt') await targets.run('tgt_kill; tgt_up');
  else
    await targets.run(`echo 0 >"${lioPortalGroup}/enable" && echo 1 >"${lioPortalGroup}/enable"`);
}

const write = ['if=/dev/zero', 'bs=4k', 'count=1', 'oflag=direct', 'status=none'];

async function reconnects(volume: ServedVolume): Promise<number> {
  return (await volume.status()).volumes[0].sessions[0].reconnects;
}

async function isUp(volume: ServedVolume): Promise<boolean> {
  return (await volume.sessionState()) === 'up';
}

for (const way of ways) {
  describe(`the target dies under load: ${way.name}`, () => {
    let volume: ServedVolume;

    before(async () => {
      volume = await ServedVolume.start(way.url);
    });
    after(() => volume.remove());

    it('comes back, and fio ends without an error and with its data intact', async () => {
      const load = new VerifiedLoad(volume.device);
      await load.inFullSwing();
      await interrupt(way);
      expect(await load.result).to.equal('');
      expect(await reconnects(volume)).to.be.at.least(1);
    });
  });
}

for (const way of ways.filter(({ target }) => target === 'tgt')) {
  describe(`the target stays away for longer than --replacement-timeout: ${way.name}`, () => {
    let volume: ServedVolume;

    before(async () => {
      volume = await ServedVolume.start(way.url, '--replacement-timeout', '3');
      // The first one to open the device makes the kernel look for partitions, which takes a dozen reads.
      await runOk('dd', [...write, `of=${volume.device}`]);
    });
    after(async () => {
      await volume.remove();
    });

    it('reports EIO, keeps the daemon alive and leaves nobody waiting', async () => {
      await targets.run('tgt_kill');
      const { code, stderr } = await run('dd', [...write, `of=${volume.device}`], {
        timeoutMs: 30_000,
      });
      expect(code).to.equal(1);
      expect(stderr).to.contain('Input/output error');
      expect(volume.isRunning).to.equal(true);
      expect(await waitingProcesses()).to.deep.equal([]);
    });

    it('works again when the target is back', async () => {
      await targets.run('tgt_up');
      await waitUntil('the session is up', () => isUp(volume), 60_000);
      await runOk('dd', [...write, `of=${volume.device}`]);
    });
  });
}

// A silent target, instead of a pulled link: with soft-RoCE the first connection management datagram that cannot be sent leaves
// queue pair 1 in the error state for good, so that nobody at all can connect until the device is made anew.
for (const way of ways.filter(({ target }) => target === 'tgt')) {
  describe(`the target falls silent under load, its connection stays: ${way.name}`, () => {
    let volume: ServedVolume;

    before(async () => {
      volume = await ServedVolume.start(way.url);
    });
    after(async () => {
      await targets.run('kill -CONT "$tgt_pid"');
      await volume.remove();
    });

    it('is given up, and fio ends without an error and with its data intact when it speaks again', async () => {
      const load = new VerifiedLoad(volume.device);
      await load.inFullSwing();
      await targets.run('kill -STOP "$tgt_pid"');
      await waitUntil('the daemon has noticed', async () => !(await isUp(volume)), 60_000);
      await targets.run('kill -CONT "$tgt_pid"');
      expect(await load.result).to.equal('');
      expect(await reconnects(volume)).to.be.at.least(1);
    });
  });
}
