/** Keeps what a lane knows of one logical unit true: after a reconnect, when the unit says that it has changed, and now and then. */
import { isDeepStrictEqual } from 'node:util';
import type { ProbeResult } from '../../src/block/probe.ts';
import type { LogicalUnitProfile } from '../../src/block/profile.ts';
import { reviseProfile } from '../../src/block/revision.ts';
import { ProtocolError } from '../../src/errors.ts';
import type { Session } from '../../src/iscsi/session.ts';
import { TaskOutcome } from '../../src/iscsi/task-table.ts';
import {
  parseReadCapacity10,
  parseReadCapacity16,
  readCapacity10Length,
  readCapacity16Length,
} from '../../src/scsi/capacity.ts';
import { IdentityDifference, designatedName } from '../../src/scsi/identity.ts';
import {
  inquiryVpdCdb,
  readCapacity10Cdb,
  readCapacity16Cdb,
} from '../../src/scsi/management-cdb.ts';
import { ScsiStatus } from '../../src/scsi/status.ts';
import { VpdPage, parseDeviceIdentification } from '../../src/scsi/vpd.ts';
import type { Timers } from '../../src/timers.ts';
import type { LaneEvent } from './messages.ts';

/**
 * How often capacity and name are asked for. An idle unit has no command that could meet its unit attention, and some targets have none:
 * LIO when a block device is resized, tgt when a LUN is given to another unit under a session.
 */
const lookIntervalMs = 10_000;
const identificationLength = 1024;

export interface UnitWatchOptions {
  readonly session: Pick<Session, 'execute' | 'inspect'>;
  readonly timers: Timers;
  readonly probe: () => Promise<ProbeResult>;
  /** The unit is the same, but not as it was: this is to be served from now on. */
  readonly onChanged: (profile: LogicalUnitProfile) => void;
  readonly say: (
    level: Extract<LaneEvent, { event: 'log' }>['level'],
    message: string,
    fields: Readonly<Record<string, string | number>>,
  ) => void;
}

export class UnitWatch {
  readonly #options: UnitWatchOptions;
  /** As it is served. */
  #served: LogicalUnitProfile | undefined;
  /** Logical blocks at the last look; fewer than are served after the unit has shrunk. */
  #foundBlocks = 0;
  /** The unit has changed before it was known. */
  #isOutdated = false;
  #failure: string | undefined;
  #cancelLook: (() => void) | undefined;
  #isClosed = false;

  constructor(options: UnitWatchOptions) {
    this.#options = options;
  }

  /** Why the unit must not be used any more. */
  get failure(): string | undefined {
    return this.#failure;
  }

  /** The unit is known now, and served like this. */
  begin(profile: LogicalUnitProfile): void {
    this.#served = profile;
    this.#foundBlocks = profile.blocks;
    this.#lookLater();
    if (this.#isOutdated) this.#options.session.inspect();
  }

  /** The unit says that it has changed: while it is being probed that must not be forgotten; later the session sees to it. */
  noteChange(): void {
    if (this.#served === undefined) this.#isOutdated = true;
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelLook?.();
  }

  /**
   * The session's identity check. False: the unit is another one. A unit that has shrunk is the same; it keeps its size, and whatever
   * is beyond its end the target refuses. Rejects when it cannot be found out.
   */
  async check(): Promise<boolean> {
    const served = this.#served;
    if (served === undefined) return true;
    const { profile: found } = await this.#options.probe();
    const { profile, difference } = reviseProfile(served, found);
    if (profile === undefined) {
      const before = `${served.identity.name}, ${served.logicalBlockLength}-byte blocks`;
      const after = `${found.identity.name}, ${found.logicalBlockLength}-byte blocks`;
      this.#failure = `another logical unit answers now (${difference}): ${after}; it was ${before}`;
      this.#options.say('error', this.#failure, {});
      return false;
    }
    this.#tellSize(served, found, difference);
    this.#foundBlocks = found.blocks;
    if (served.readOnly !== profile.readOnly) {
      const state = profile.readOnly ? 'write protected' : 'writable';
      this.#options.say('warn', `the logical unit is ${state} now`, {});
    }
    if (!isDeepStrictEqual(profile, served)) {
      this.#served = profile;
      this.#options.onChanged(profile);
    }
    return true;
  }

  #tellSize(
    served: LogicalUnitProfile,
    found: LogicalUnitProfile,
    difference: IdentityDifference,
  ): void {
    if (found.blocks === this.#foundBlocks) return;
    const bytes = found.blocks * found.logicalBlockLength;
    const servedBytes = served.blocks * served.logicalBlockLength;
    if (difference === IdentityDifference.shrunk) {
      this.#options.say(
        'error',
        'the logical unit has shrunk: its size is kept, requests beyond its new end fail',
        { servedBytes, bytes },
      );
    } else {
      const what = difference === IdentityDifference.grown ? 'has grown' : 'has its size again';
      this.#options.say('info', `the logical unit ${what}`, { servedBytes, bytes });
    }
  }

  #lookLater(): void {
    this.#cancelLook = this.#options.timers.schedule(lookIntervalMs, () => {
      void this.#look();
    });
  }

  /** The questions themselves let the target report a pending unit attention, which the session sees to. */
  async #look(): Promise<void> {
    const hasChanged = (await this.#hasOtherSize()) || (await this.#hasOtherName());
    if (this.#isClosed) return;
    if (hasChanged) this.#options.session.inspect();
    this.#lookLater();
  }

  async #hasOtherSize(): Promise<boolean> {
    const with16 = this.#served?.commands16 === true;
    const capacity = with16
      ? await this.#ask(
          readCapacity16Cdb(readCapacity16Length),
          readCapacity16Length,
          parseReadCapacity16,
        )
      : await this.#ask(readCapacity10Cdb(), readCapacity10Length, parseReadCapacity10);
    return capacity !== undefined && capacity.blocks !== this.#foundBlocks;
  }

  async #hasOtherName(): Promise<boolean> {
    const name = await this.#ask(
      inquiryVpdCdb(VpdPage.deviceIdentification, identificationLength),
      identificationLength,
      (data) => designatedName(parseDeviceIdentification(data)),
    );
    return name !== undefined && name !== this.#served?.identity.name;
  }

  /** undefined: the unit does not say, or nothing that can be understood. */
  async #ask<T>(
    cdb: Uint8Array,
    length: number,
    parse: (data: Uint8Array) => T | undefined,
  ): Promise<T | undefined> {
    const { outcome, scsiStatus, data } = await this.#options.session.execute(cdb, length);
    if (outcome !== TaskOutcome.answered || scsiStatus !== ScsiStatus.good) return undefined;
    try {
      return parse(data);
    } catch (error) {
      if (error instanceof ProtocolError) return undefined;
      throw error;
    }
  }
}
