import { expect } from 'chai';
import winston from 'winston';
import { parseConfig } from '../../daemon/config/load.ts';
import { LaneThread } from '../../daemon/lane/lane-thread.ts';
import { ServiceNotifier } from '../../daemon/service-notifier.ts';
import { Supervisor } from '../../daemon/supervisor.ts';
import { planVolume } from '../../daemon/volume/plan.ts';
import { waitUntil } from '../helpers/wait.ts';

const nothing = (): undefined => undefined;
const lane = {
  registration: 'cache',
  pinLimitBytes: 2 ** 20,
  arenaBytes: 2 ** 23,
  hugePages: false,
  spinMicroseconds: 0,
  requestCapacity: 16,
} as const;

describe('the watchdog', function () {
  this.timeout(60_000);

  it('is fed only while the loop of every lane advances', async () => {
    // The last lane can be blocked.
    const block = new Int32Array(new SharedArrayBuffer(8));
    const supervisor = new Supervisor({
      lane,
      maximumLanes: 2,
      retries: true,
      createLane: (index, onEvent, onCrash) => {
        const options = { ...lane, lanes: 2, sessions: 1, block };
        const entry = new URL('../helpers/blockable-lane-worker.mjs', import.meta.url);
        if (index === 0) options.block = new Int32Array(new SharedArrayBuffer(8));
        return new LaneThread(index, options, onEvent, onCrash, entry);
      },
      surroundings: {
        kernelDevices: {
          attach: () => Promise.reject(new Error('no devices here')),
          giveUpExpired: () => Promise.resolve(),
          leftBy: () => Promise.resolve([]),
        },
        locks: { take: () => ({ name: '', fd: -1, release: nothing }) },
        legacy: { add: nothing },
        listeners: { listen: () => ({ clientClosed: nothing, close: () => Promise.resolve() }) },
        logins: { run: (login) => login() },
        onClientEnded: nothing,
        tell: nothing,
      },
      logger: winston.createLogger({ silent: true }),
      onServing: nothing,
      onFailure: nothing,
    });
    // Whether a volume serves is all the same: its lanes are there.
    const config = parseConfig(
      '[[volume]]\nname = "v"\nurl = "iscsi://127.0.0.1:1/iqn.2026-11.test:d/1"\nsocket = "/s"\nlanes = 2\n',
      'f',
    );
    const starting = supervisor.start([planVolume(config.volume[0], config).spec]);
    let fed = 0;
    let feed: () => void = nothing;
    const notifier = new ServiceNotifier({
      send: (state) => {
        if (state === 'WATCHDOG=1') fed++;
        return true;
      },
      watchdogMicroseconds: 1_000_000,
      alive: () => supervisor.alive(),
      every: (_, action) => {
        feed = action;
        return nothing;
      },
    });
    notifier.feedWatchdog();
    const eventuallyFed = async (): Promise<void> => {
      const before = fed;
      await waitUntil('it is fed', () => {
        feed();
        return fed > before;
      });
    };
    try {
      await eventuallyFed();
      Atomics.store(block, 0, 1);
      await waitUntil('the lane is blocked', () => Atomics.load(block, 1) === 1);
      // What the lane has answered before may count once.
      feed();
      const before = fed;
      for (let i = 0; i < 20; i++) {
        feed();
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      expect(fed).to.equal(before);
      Atomics.store(block, 0, 0);
      Atomics.notify(block, 0);
      await eventuallyFed();
    } finally {
      Atomics.store(block, 0, 0);
      Atomics.notify(block, 0);
      await supervisor.stop();
      await starting;
    }
  });
});
