import { expect } from 'chai';
import winston from 'winston';
import { VolumeGeometry } from '../../../../daemon/volume/geometry.ts';
import type { SessionReport } from '../../../../daemon/lane/messages.ts';
import { FakeLane } from '../../../helpers/fake-lane.ts';
import { diskGeometry } from '../../../helpers/geometry.ts';

const mebibyte = 2 ** 20;

/** A volume of 1 MiB with a session on each of `lanes` lanes, and a device that shows what it was last told. */
class Fixture {
  readonly lanes: FakeLane[];
  readonly geometry: VolumeGeometry;
  readonly resizes: number[] = [];
  shownBytes = mebibyte;
  /** What a resize waits for. */
  gate: Promise<void> = Promise.resolve();

  constructor(lanes: number) {
    this.lanes = Array.from(
      { length: lanes },
      (_, index) =>
        new FakeLane(
          index,
          () => undefined,
          () => undefined,
        ),
    );
    this.geometry = new VolumeGeometry(
      this.lanes.map((lane) => ({
        lane,
        report: { session: 0, geometry: diskGeometry(mebibyte) } as SessionReport,
      })),
      winston.createLogger({ silent: true }),
    );
  }

  readonly device = {
    path: '/dev/nbd0',
    sizeBytes: (): Promise<number> => Promise.resolve(this.shownBytes),
    resize: async (sizeBytes: number): Promise<void> => {
      this.resizes.push(sizeBytes);
      await this.gate;
      this.shownBytes = sizeBytes;
    },
  };

  follow(): void {
    this.geometry.follow(this.device, diskGeometry(mebibyte));
  }

  grow(lane: number, sizeBytes: number): void {
    this.geometry.onChanged(this.lanes[lane], 0, diskGeometry(sizeBytes));
  }

  inspected(): number[] {
    return this.lanes.filter(({ calls }) => calls.includes('inspectSession')).map((l) => l.index);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the size of a volume', () => {
  it('follows its one session, and the device with it', async () => {
    const fixture = new Fixture(1);
    fixture.follow();
    fixture.grow(0, 2 * mebibyte);
    await turn();
    expect(fixture.geometry.current.sizeBytes).to.equal(2 * mebibyte);
    expect(fixture.resizes).to.deep.equal([2 * mebibyte]);
  });

  it('grows when all sessions have, and the device once', async () => {
    const fixture = new Fixture(3);
    fixture.follow();
    fixture.grow(1, 2 * mebibyte);
    await turn();
    expect(fixture.geometry.current.sizeBytes).to.equal(mebibyte);
    expect(fixture.inspected()).to.deep.equal([0, 2]);
    fixture.grow(0, 2 * mebibyte);
    await turn();
    expect(fixture.resizes).to.deep.equal([]);
    fixture.grow(2, 2 * mebibyte);
    await turn();
    expect(fixture.resizes).to.deep.equal([2 * mebibyte]);
    expect(fixture.geometry.current.sizeBytes).to.equal(2 * mebibyte);
  });

  it('stays when only write protection changes, of which the other sessions are made aware', async () => {
    const fixture = new Fixture(2);
    fixture.follow();
    fixture.geometry.onChanged(fixture.lanes[0], 0, { ...diskGeometry(mebibyte), readOnly: true });
    await turn();
    expect(fixture.geometry.current.readOnly).to.equal(true);
    expect(fixture.inspected()).to.deep.equal([1]);
    expect(fixture.resizes).to.deep.equal([]);
  });

  it('that has changed before the device was there is given to it then', async () => {
    const fixture = new Fixture(1);
    fixture.grow(0, 4 * mebibyte);
    await turn();
    expect(fixture.resizes).to.deep.equal([]);
    fixture.follow();
    await turn();
    expect(fixture.resizes).to.deep.equal([4 * mebibyte]);
  });

  it('changes again while the device is resized: one resize after the other', async () => {
    const fixture = new Fixture(1);
    let open: () => void = () => undefined;
    fixture.gate = new Promise((resolve) => {
      open = resolve;
    });
    fixture.follow();
    fixture.grow(0, 2 * mebibyte);
    await turn();
    fixture.grow(0, 3 * mebibyte);
    fixture.grow(0, 4 * mebibyte);
    await turn();
    expect(fixture.resizes).to.deep.equal([2 * mebibyte]);
    open();
    await turn();
    expect(fixture.resizes).to.deep.equal([2 * mebibyte, 4 * mebibyte]);
  });

  it('never makes a device smaller', async () => {
    const fixture = new Fixture(1);
    fixture.shownBytes = 8 * mebibyte;
    fixture.follow();
    fixture.grow(0, 2 * mebibyte);
    await turn();
    expect(fixture.resizes).to.deep.equal([]);
  });

  it('survives a kernel that refuses, and tries again with the next change', async () => {
    const fixture = new Fixture(1);
    fixture.follow();
    fixture.gate = Promise.reject(new Error('EINVAL'));
    fixture.grow(0, 2 * mebibyte);
    await turn();
    fixture.gate = Promise.resolve();
    fixture.grow(0, 3 * mebibyte);
    await turn();
    expect(fixture.resizes).to.deep.equal([2 * mebibyte, 3 * mebibyte]);
    expect(fixture.shownBytes).to.equal(3 * mebibyte);
  });

  it('ignores a session that is not its own', async () => {
    const fixture = new Fixture(1);
    fixture.geometry.onChanged(fixture.lanes[0], 7, diskGeometry(2 * mebibyte));
    await turn();
    expect(fixture.geometry.current.sizeBytes).to.equal(mebibyte);
  });

  it('survives a lane that cannot be asked', async () => {
    const fixture = new Fixture(2);
    fixture.lanes[0].call = () => Promise.reject(new Error('the lane is gone'));
    fixture.grow(1, 2 * mebibyte);
    await turn();
    expect(fixture.geometry.current.sizeBytes).to.equal(mebibyte);
  });

  it('lets the device alone once it is closed, when the resize under way has ended', async () => {
    const fixture = new Fixture(1);
    let open: () => void = () => undefined;
    fixture.gate = new Promise((resolve) => {
      open = resolve;
    });
    fixture.follow();
    fixture.grow(0, 2 * mebibyte);
    await turn();
    let closed = false;
    const closing = fixture.geometry.close().then(() => {
      closed = true;
    });
    fixture.grow(0, 4 * mebibyte);
    await turn();
    expect(closed).to.equal(false);
    open();
    await closing;
    expect(fixture.resizes).to.deep.equal([2 * mebibyte]);
  });
});
