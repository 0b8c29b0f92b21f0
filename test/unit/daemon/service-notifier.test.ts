import { expect } from 'chai';
import { ServiceNotifier } from '../../../daemon/service-notifier.ts';

describe('what the service manager is told', () => {
  let sent: string[];
  let alive: boolean;
  /** What runs periodically, and its period. */
  let periodic: { readonly periodMs: number; readonly action: () => void } | undefined;

  beforeEach(() => {
    sent = [];
    alive = true;
    periodic = undefined;
  });

  const create = (watchdogMicroseconds: number): ServiceNotifier =>
    new ServiceNotifier({
      send: (state) => sent.push(state) > 0,
      watchdogMicroseconds,
      alive: () => alive,
      every: (periodMs, action) => {
        periodic = { periodMs, action };
        return () => {
          periodic = undefined;
        };
      },
    });

  it('is READY with a status', () => {
    create(0).ready('serving 1 of 2 volumes');
    expect(sent).to.deep.equal(['READY=1\nSTATUS=serving 1 of 2 volumes']);
  });

  it('is a status by itself', () => {
    create(0).status('draining');
    expect(sent).to.deep.equal(['STATUS=draining']);
  });

  it('is STOPPING, and then again and again that it takes longer, until it has ended', () => {
    const notifier = create(0);
    notifier.stopping();
    expect(sent).to.deep.equal([
      'STOPPING=1\nSTATUS=stopping: requests are being answered',
      'EXTEND_TIMEOUT_USEC=30000000',
    ]);
    periodic?.action();
    expect(sent).to.have.length(3);
    notifier.endExtension();
    expect(periodic).to.equal(undefined);
  });

  it('is that a start takes longer, until it is READY', () => {
    const notifier = create(0);
    notifier.extend();
    notifier.extend();
    expect(sent).to.deep.equal(['EXTEND_TIMEOUT_USEC=30000000']);
    expect(periodic?.periodMs).to.be.below(30_000);
    notifier.ready('');
    expect(periodic).to.equal(undefined);
  });

  it('is RELOADING while the process becomes its successor', () => {
    create(0).reloading(5n);
    expect(sent).to.deep.equal(['RELOADING=1\nMONOTONIC_USEC=5']);
  });

  it('is WATCHDOG at once, and twice within its time while the lanes are alive', () => {
    create(2_000_000).feedWatchdog();
    expect(periodic?.periodMs).to.equal(1000);
    periodic?.action();
    expect(sent).to.deep.equal(['WATCHDOG=1', 'WATCHDOG=1']);
  });

  it('is no WATCHDOG when the service manager wants none', () => {
    create(0).feedWatchdog();
    expect(periodic).to.equal(undefined);
  });

  it('is nothing when a lane hangs', () => {
    create(2_000_000).feedWatchdog();
    alive = false;
    periodic?.action();
    expect(sent).to.have.length(1);
  });

  it('is WATCHDOG by a timer that keeps no process alive, when nothing else is given', async () => {
    const fed = new Promise<void>((resolve) => {
      let times = 0;
      const notifier = new ServiceNotifier({
        send: (state) => {
          if (state === 'WATCHDOG=1' && ++times === 2) {
            notifier.stopping();
            notifier.endExtension();
            resolve();
          }
          return true;
        },
        watchdogMicroseconds: 2000,
        alive: () => true,
      });
      notifier.feedWatchdog();
    });
    // Something else keeps the process alive meanwhile.
    const alive = setInterval(() => undefined, 1000);
    await fed;
    clearInterval(alive);
  });

  it('is nothing more after stopping', () => {
    const notifier = create(2_000_000);
    notifier.feedWatchdog();
    const feed = periodic?.action;
    notifier.stopping();
    expect(periodic?.action).not.to.equal(feed);
  });
});
