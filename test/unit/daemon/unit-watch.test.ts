import { expect } from 'chai';
import { UnitWatch } from '../../../daemon/lane/unit-watch.ts';
import type { LogicalUnitProfile } from '../../../src/block/profile.ts';
import { probeLogicalUnit } from '../../../src/block/probe.ts';
import { promptProbe } from '../../helpers/block-fixture.ts';
import { FakeScsiSession, ManualTimers } from '../../helpers/fake-scsi-session.ts';
import {
  checkCondition,
  good,
  RamLogicalUnit,
  type RamLogicalUnitOptions,
} from '../../helpers/ram-logical-unit.ts';

const lookIntervalMs = 10_000;
const otherName = Uint8Array.of(0x60, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9);

/** A watch over a RAM logical unit. */
class Fixture {
  readonly unit: RamLogicalUnit;
  readonly timers = new ManualTimers();
  readonly changes: LogicalUnitProfile[] = [];
  /** Level and message. */
  readonly said: string[] = [];
  inspections = 0;
  readonly watch: UnitWatch;
  readonly #session: FakeScsiSession;

  constructor(options: Partial<RamLogicalUnitOptions> = {}) {
    this.unit = new RamLogicalUnit({ blocks: 1000, blockLength: 512, ...options });
    this.#session = new FakeScsiSession(this.unit, new Uint8Array(0), this.timers, 1);
    this.watch = new UnitWatch({
      session: {
        execute: (cdb, readLength) => this.#session.execute(cdb, readLength),
        inspect: () => {
          this.inspections++;
        },
      },
      timers: this.timers,
      probe: () => this.probe(),
      onChanged: (profile) => {
        this.changes.push(profile);
      },
      say: (level, message) => {
        this.said.push(`${level}: ${message}`);
      },
    });
  }

  static async begun(options?: Partial<RamLogicalUnitOptions>): Promise<Fixture> {
    const fixture = new Fixture(options);
    fixture.watch.begin((await fixture.probe()).profile);
    return fixture;
  }

  probe(): ReturnType<typeof probeLogicalUnit> {
    return probeLogicalUnit(this.#session, promptProbe);
  }

  /** Lets the time for a look come, and the look end. */
  async look(): Promise<void> {
    this.timers.advance(lookIntervalMs);
    await new Promise(setImmediate);
  }
}

describe('the watch over a logical unit', () => {
  describe('when the session has it checked', () => {
    it('takes any unit for the right one while none is known', async () => {
      const { watch, unit } = new Fixture();
      expect(await watch.check()).to.equal(true);
      expect(unit.log).to.deep.equal([]);
    });

    it('changes nothing when nothing has changed', async () => {
      const { watch, changes, said } = await Fixture.begun();
      expect(await watch.check()).to.equal(true);
      expect(changes).to.deep.equal([]);
      expect(said).to.deep.equal([]);
    });

    it('serves a unit that has grown in its new size', async () => {
      const { watch, unit, changes, said } = await Fixture.begun();
      unit.change({ blocks: 3000 });
      expect(await watch.check()).to.equal(true);
      expect(changes.map(({ blocks }) => blocks)).to.deep.equal([3000]);
      expect(said).to.deep.equal(['info: the logical unit has grown']);
    });

    it('keeps the size of one that has shrunk, and says so once', async () => {
      const { watch, unit, changes, said } = await Fixture.begun();
      unit.change({ blocks: 500 });
      expect(await watch.check()).to.equal(true);
      expect(await watch.check()).to.equal(true);
      expect(changes).to.deep.equal([]);
      expect(said).to.deep.equal([
        'error: the logical unit has shrunk: its size is kept, requests beyond its new end fail',
      ]);
    });

    it('takes growth back after a shrink, and beyond', async () => {
      const { watch, unit, changes, said } = await Fixture.begun();
      for (const blocks of [500, 1000, 2000]) {
        unit.change({ blocks });
        expect(await watch.check()).to.equal(true);
      }
      expect(changes.map(({ blocks }) => blocks)).to.deep.equal([2000]);
      expect(said.slice(1)).to.deep.equal([
        'info: the logical unit has its size again',
        'info: the logical unit has grown',
      ]);
    });

    it('follows write protection both ways', async () => {
      const { watch, unit, changes, said } = await Fixture.begun();
      for (const writeProtected of [true, false]) {
        unit.change({ writeProtected });
        expect(await watch.check()).to.equal(true);
      }
      expect(changes.map(({ readOnly }) => readOnly)).to.deep.equal([true, false]);
      expect(said).to.deep.equal([
        'warn: the logical unit is write protected now',
        'warn: the logical unit is writable now',
      ]);
    });

    it('follows the write cache without a word', async () => {
      const { watch, unit, changes, said } = await Fixture.begun({ writeCache: true });
      unit.change({ writeCache: false });
      expect(await watch.check()).to.equal(true);
      expect(changes.map(({ writeCacheEnabled }) => writeCacheEnabled)).to.deep.equal([false]);
      expect(said).to.deep.equal([]);
    });

    it('refuses another unit, and says which', async () => {
      const { watch, unit, changes } = await Fixture.begun();
      unit.change({ designator: otherName });
      expect(await watch.check()).to.equal(false);
      expect(changes).to.deep.equal([]);
      expect(watch.failure).to.match(
        /another logical unit .*other-logical-unit.*naa\.60090909.*it was naa\.6001/,
      );
    });

    it('refuses another block length', async () => {
      const { watch, unit } = await Fixture.begun();
      unit.change({ blocks: 125, blockLength: 4096 });
      expect(await watch.check()).to.equal(false);
      expect(watch.failure).to.contain('block-length-changed');
    });

    it('passes on that it cannot be found out', async () => {
      const { watch, unit } = await Fixture.begun();
      unit.fault = () => checkCondition(4, 0x4400);
      const error: unknown = await watch.check().then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(String(error)).to.contain('HARDWARE ERROR');
    });
  });

  describe('now and then', () => {
    it('looks at the capacity, and has a change inspected', async () => {
      const fixture = await Fixture.begun();
      await fixture.look();
      expect(fixture.inspections).to.equal(0);
      fixture.unit.change({ blocks: 1001 });
      await fixture.look();
      expect(fixture.inspections).to.equal(1);
    });

    it('looks at the name, and has another one inspected', async () => {
      const fixture = await Fixture.begun();
      fixture.unit.change({ designator: otherName });
      await fixture.look();
      expect(fixture.inspections).to.equal(1);
    });

    it('does not have a known shrink inspected for ever', async () => {
      const fixture = await Fixture.begun();
      fixture.unit.change({ blocks: 10 });
      await fixture.watch.check();
      await fixture.look();
      await fixture.look();
      expect(fixture.inspections).to.equal(0);
    });

    it('asks old units by READ CAPACITY(10)', async () => {
      const fixture = await Fixture.begun({ lacks: [0x9e, 0x88] });
      fixture.unit.log.length = 0;
      await fixture.look();
      expect(fixture.unit.operations).to.deep.equal([0x25, 0x12]);
    });

    it('takes an error or nonsense for no answer', async () => {
      const fixture = await Fixture.begun();
      fixture.unit.fault = () => checkCondition(2, 0x0402);
      await fixture.look();
      fixture.unit.fault = () => good(new Uint8Array(32));
      await fixture.look();
      expect(fixture.inspections).to.equal(0);
    });

    it('looks no more once it is closed', async () => {
      const fixture = await Fixture.begun();
      fixture.watch.close();
      fixture.unit.log.length = 0;
      await fixture.look();
      expect(fixture.unit.log).to.deep.equal([]);
      expect(fixture.timers.armed).to.equal(0);
    });
  });
});
