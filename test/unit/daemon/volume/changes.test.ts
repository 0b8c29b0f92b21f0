/** What a volume does when its sessions tell that their logical unit has changed, or is another one. */
import { expect } from 'chai';
import winston from 'winston';
import type { SessionSpec } from '../../../../daemon/lane/messages.ts';
import type { OwnedDevice } from '../../../../daemon/restart/device-succession.ts';
import { Volume } from '../../../../daemon/volume/volume.ts';
import { FakeLane } from '../../../helpers/fake-lane.ts';

const mebibyte = 2 ** 20;
const nothing = (): undefined => undefined;

/** A volume with a kernel device and two sessions on lanes of their own. */
class Fixture {
  readonly lanes = [0, 1].map((index) => new FakeLane(index, nothing, nothing));
  readonly resizes: number[] = [];
  readonly volume: Volume;
  detached = 0;
  attachment: Promise<void> = Promise.resolve();

  constructor() {
    const session = { replacementTimeoutMs: 1000 } as unknown as SessionSpec;
    this.volume = new Volume(
      {
        name: 'v',
        target: 'iscsi://h/iqn.2026-11.test:d/1',
        device: 'auto',
        socket: undefined,
        places: [],
        sessions: [session, session],
      },
      this.lanes,
      {
        kernelDevices: {
          attach: async () => {
            await this.attachment;
            return this.#device;
          },
          giveUpExpired: () => Promise.resolve(),
          leftBy: () => Promise.resolve([]),
        },
        logins: { run: (login) => login() },
        tell: nothing,
        locks: { take: () => ({ name: '', fd: -1, release: nothing }) },
        legacy: { add: nothing },
        listeners: { listen: () => ({ clientClosed: nothing, close: () => Promise.resolve() }) },
        logger: winston.createLogger({ silent: true }),
        isRetried: false,
        onClientEnded: nothing,
      },
    );
  }

  grown(lane: number, mebibytes: number): void {
    const { report } = this.volume;
    if (report === undefined) throw new Error('no session');
    this.volume.onSessionEvent(this.lanes[lane], {
      event: 'geometryChanged',
      volume: 'v',
      session: 0,
      geometry: { ...report.geometry, sizeBytes: mebibytes * mebibyte },
    });
  }

  failed(lane: number, message: string): void {
    this.volume.onSessionEvent(this.lanes[lane], {
      event: 'sessionFailed',
      volume: 'v',
      session: 0,
      message,
    });
  }

  get shownMebibytes(): number {
    return (this.volume.report?.geometry.sizeBytes ?? 0) / mebibyte;
  }

  readonly #device: OwnedDevice = {
    index: 0,
    path: '/dev/nbd0',
    serverFds: [],
    sizeBytes: () => Promise.resolve(this.resizes.at(-1) ?? mebibyte),
    resize: (sizeBytes) => {
      this.resizes.push(sizeBytes);
      return Promise.resolve();
    },
    detach: () => {
      this.detached++;
      return Promise.resolve(true);
    },
    users: () => Promise.resolve([]),
    deadConnTimeoutSeconds: 10,
    leave: nothing,
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a volume whose logical unit', () => {
  it('has grown shows the new size when all sessions have seen it, and so does its device', async () => {
    const fixture = new Fixture();
    await fixture.volume.start();
    fixture.grown(0, 2);
    await turn();
    expect(fixture.shownMebibytes).to.equal(1);
    expect(fixture.lanes[1].calls).to.include('inspectSession');
    fixture.grown(1, 2);
    await turn();
    expect(fixture.shownMebibytes).to.equal(2);
    expect(fixture.resizes).to.deep.equal([2 * mebibyte]);
  });

  it('grows while the device is attached has the device grow afterwards', async () => {
    const fixture = new Fixture();
    let attach: () => void = nothing;
    fixture.attachment = new Promise((resolve) => {
      attach = resolve;
    });
    const started = fixture.volume.start();
    await turn();
    fixture.grown(0, 2);
    fixture.grown(1, 2);
    await turn();
    expect(fixture.resizes).to.deep.equal([]);
    attach();
    await started;
    await turn();
    expect(fixture.resizes).to.deep.equal([2 * mebibyte]);
  });

  it('grows while another session is still logging in is not forgotten', async () => {
    const fixture = new Fixture();
    let logIn: () => void = nothing;
    fixture.lanes[1].onOpen = () =>
      new Promise<void>((resolve) => {
        logIn = resolve;
      });
    const started = fixture.volume.start();
    await turn();
    fixture.volume.onSessionEvent(fixture.lanes[0], {
      event: 'geometryChanged',
      volume: 'v',
      session: 0,
      geometry: { sizeBytes: 2 * mebibyte } as never,
    });
    logIn();
    await started;
    expect(fixture.lanes[1].calls).to.include('inspectSession');
  });

  it('is another one has failed, with all of its sessions and the first reason', async () => {
    const fixture = new Fixture();
    await fixture.volume.start();
    fixture.failed(0, 'another logical unit');
    fixture.failed(1, 'abandoned');
    expect(fixture.volume).to.include({ state: 'failed', failure: 'another logical unit' });
    for (const { calls } of fixture.lanes) expect(calls).to.include('failSession');
    expect(fixture.volume.devicePath).to.equal('/dev/nbd0');
  });

  it('is another one before it serves does not get as far as serving', async () => {
    const fixture = new Fixture();
    let attach: () => void = nothing;
    fixture.attachment = new Promise((resolve) => {
      attach = resolve;
    });
    const started = fixture.volume.start().catch((error: unknown) => (error as Error).message);
    await turn();
    fixture.failed(1, 'another logical unit');
    attach();
    expect(await started).to.equal('another logical unit');
    expect(fixture.volume.state).to.equal('failed');
    expect(fixture.detached).to.equal(1);
  });

  it('was another one is still taken down in order', async () => {
    const fixture = new Fixture();
    await fixture.volume.start();
    fixture.failed(0, 'another logical unit');
    await fixture.volume.stop();
    expect(fixture.volume.state).to.equal('stopped');
    expect(fixture.detached).to.equal(1);
    for (const { calls } of fixture.lanes) expect(calls.at(-1)).to.equal('closeSession');
  });

  it('is not the one of a session that is not its own', async () => {
    const fixture = new Fixture();
    await fixture.volume.start();
    fixture.volume.onSessionEvent(fixture.lanes[0], {
      event: 'sessionFailed',
      volume: 'v',
      session: 9,
      message: 'of an earlier attempt',
    });
    expect(fixture.volume.state).to.equal('serving');
  });
});
