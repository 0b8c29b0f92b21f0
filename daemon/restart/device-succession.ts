/**
 * Kernel devices that outlive a daemon. A volume finds the device that it still owns by its backend identifier, whatever process served
 * it before, and goes on with it:
 *
 *   what is there                                        what is done
 *   no device with the backend identifier                attach one
 *   a device, and all its sockets were left to us at a   serve them: the kernel notices nothing
 *     request boundary (planned restart)
 *   a device (crash)                                     shut down the old sockets that we were handed, give it new ones: the kernel
 *                                                        sends again what was in flight
 *   a device of this volume with another logical unit    refuse
 *
 * Who calls this has logged in with the predecessor's ISIDs and holds the lock of the backend identifier.
 */
import { uptime } from 'node:os';
import type { NativeError } from '../../src/reactor/native.ts';
import { wholeBlocks } from '../device/attributes.ts';
import { KernelDeviceError, KernelDeviceErrorCode } from '../device/error.ts';
import { devicesOf, realSurroundings, SysfsDevice, type Surroundings } from '../device/sysfs.ts';
import type {
  KernelAttachment,
  KernelDevice,
  KernelDeviceRequest,
} from '../device/kernel-device.ts';
import type { Logger } from '../logging.ts';
import { system, type System } from '../system.ts';
import type { DeviceRecord, DeviceRecords } from './device-records.ts';
import { deviceUsers } from './device-users.ts';
import { socketName, type Inheritance, type Legacy } from './inheritance.ts';

export interface OwnedDeviceRequest extends KernelDeviceRequest {
  /** Which volume it is, apart from the identity of its logical unit. */
  readonly owner: string;
}

/** A device without a server. */
export interface LeftDevice {
  readonly path: string;
  /** Who would see I/O errors if it were detached now, in words. */
  readonly users: () => Promise<string[]>;
  /** Ends its I/O with errors. */
  readonly detach: () => Promise<void>;
}

export interface OwnedDevice extends KernelAttachment {
  /** Who would see I/O errors if it were detached now, in words. */
  readonly users: () => Promise<string[]>;
  /** How long its I/O waits for a successor. */
  readonly deadConnTimeoutSeconds: number;
  /**
   * Leaves the device attached for the next process. `sockets`: our end of every socket, by its number, where the last request was
   * answered and nothing of the next one taken; undefined where that is not so. They become the callee's.
   */
  readonly leave: (sockets: readonly (number | undefined)[]) => void;
}

type Calls = Pick<System, 'closeFd' | 'hasHungUp' | 'nbdDisconnect' | 'shutdownFd'>;

export interface DeviceSuccessionOptions {
  readonly devices: Pick<KernelDevice, 'adopt' | 'attach' | 'deadConnTimeoutSeconds' | 'reattach'>;
  readonly records: DeviceRecords;
  readonly inheritance: Pick<Inheritance, 'take'>;
  readonly legacy: Pick<Legacy, 'add' | 'take'>;
  readonly logger: Logger;
  readonly calls?: Calls;
  readonly surroundings?: Surroundings;
  /** Default: what /proc and /sys say. */
  readonly usersOf?: (name: string) => Promise<string[]>;
  /** Seconds since boot. */
  readonly uptime?: () => number;
}

/** udev opens a device for a moment whenever somebody has closed it after writing: such users are given time to go. */
const passingUserMs = 1000;
const passingUserPollMs = 100;

export class DeviceSuccession {
  readonly #devices: DeviceSuccessionOptions['devices'];
  readonly #records: DeviceRecords;
  readonly #inheritance: Pick<Inheritance, 'take'>;
  readonly #legacy: Pick<Legacy, 'add' | 'take'>;
  readonly #logger: Logger;
  readonly #calls: Calls;
  readonly #surroundings: Surroundings;
  readonly #usersOf: (name: string) => Promise<string[]>;
  readonly #uptime: () => number;

  constructor(options: DeviceSuccessionOptions) {
    this.#devices = options.devices;
    this.#records = options.records;
    this.#inheritance = options.inheritance;
    this.#legacy = options.legacy;
    this.#logger = options.logger;
    this.#calls = options.calls ?? system;
    this.#surroundings = options.surroundings ?? realSurroundings;
    this.#usersOf = options.usersOf ?? deviceUsers;
    this.#uptime = options.uptime ?? uptime;
  }

  /** Attaches a device, or goes on with the one that the volume owns. Rejects with KernelDeviceError or ConfigurationError. */
  async attach(request: OwnedDeviceRequest): Promise<OwnedDevice> {
    await this.#refuseOtherUnit(request);
    for (const index of await devicesOf(request.backendIdentifier, this.#surroundings)) {
      try {
        return await this.#takeOver(index, request);
      } catch (error) {
        // Nobody can reach the logical unit through a disconnected device any more: another one does no harm.
        if ((error as { code?: string }).code !== KernelDeviceErrorCode.disconnected) throw error;
        this.#logger.warn((error as Error).message);
      }
    }
    return this.#own(await this.#devices.attach(request), request);
  }

  /**
   * After a start that failed: ends the wait of devices of `owner` that have had no server for longer than their I/O may wait.
   * The kernel itself fails only what has not been sent yet; what was in flight ends by this. Never rejects.
   */
  async giveUpExpired(owner: string): Promise<void> {
    for (const record of this.#records.all()) {
      if (record.owner !== owner || !(await this.#isAttached(record))) continue;
      const { index, deadConnTimeoutSeconds, unservedSince = this.#uptime() } = record;
      if (this.#uptime() - unservedSince < deadConnTimeoutSeconds) {
        this.#records.write({ ...record, unservedSince });
        continue;
      }
      this.#logger.error(
        `/dev/nbd${index} has had no server for ${deadConnTimeoutSeconds} s: its I/O ends with errors now`,
      );
      try {
        await this.#calls.nbdDisconnect(index);
        this.#records.remove(index);
      } catch (error) {
        this.#logger.error(`/dev/nbd${index}: ${(error as NativeError).message}`);
      }
    }
  }

  /** Devices of `owner` with such a backend identifier that are attached, when it is known that nobody serves them. */
  async leftBy(owner: string, backendPrefix: string): Promise<LeftDevice[]> {
    const left: LeftDevice[] = [];
    for (const record of this.#records.all()) {
      const { index, backendIdentifier } = record;
      if (record.owner !== owner || !backendIdentifier.startsWith(backendPrefix)) continue;
      if (!(await this.#isAttached(record))) continue;
      left.push({
        path: `/dev/nbd${index}`,
        users: () => this.#lastingUsers(`nbd${index}`),
        detach: async () => {
          for (const fd of this.#inherited(index, record.sockets)) this.#calls.closeFd(fd);
          await this.#calls.nbdDisconnect(index);
          this.#records.remove(index);
        },
      });
    }
    return left;
  }

  async #takeOver(index: number, request: OwnedDeviceRequest): Promise<OwnedDevice> {
    const path = `/dev/nbd${index}`;
    if (request.device !== 'auto' && request.device !== path)
      this.#logger.warn(`the volume still owns ${path}: it stays there, not at ${request.device}`);
    const record = this.#recordOf(index, request.backendIdentifier);
    const taken = { ...request, lanes: record?.sockets ?? request.lanes };
    const inherited = this.#inherited(index, taken.lanes);
    const started = this.#surroundings.now();
    const attachment =
      record !== undefined && this.#canContinue(record, inherited)
        ? await this.#continue(record, taken, inherited)
        : await this.#replace(record, index, taken, inherited);
    const milliseconds = Math.round(this.#surroundings.now() - started);
    this.#logger.info(`serving ${path} again`, { sockets: taken.lanes, milliseconds });
    const owned = this.#own(attachment, taken);
    await this.#followSize(attachment, taken);
    return owned;
  }

  /** On the sockets of the predecessor. */
  #continue(
    record: DeviceRecord,
    request: OwnedDeviceRequest,
    sockets: readonly number[],
  ): Promise<KernelAttachment> {
    const serve = (fds: readonly number[]): Promise<void> => {
      // From the first byte on, a successor of ours must not go on from where our predecessor was.
      this.#records.write({ ...record, handedOver: false });
      return request.serve(fds);
    };
    return this.#devices.adopt(record.index, { ...request, serve }, sockets);
  }

  /** On new sockets; whatever there is of the old ones ends here. */
  #replace(
    record: DeviceRecord | undefined,
    index: number,
    request: OwnedDeviceRequest,
    old: readonly number[],
  ): Promise<KernelAttachment> {
    for (const fd of old) {
      this.#calls.shutdownFd(fd);
      this.#calls.closeFd(fd);
    }
    return this.#devices.reattach(index, request, record === undefined ? 1 : request.lanes);
  }

  #inherited(index: number, sockets: number): number[] {
    const names = Array.from({ length: sockets }, (_, lane) => socketName(index, lane));
    // A start of this very process that failed after the attachment has left its sockets like a predecessor.
    return names.flatMap((name) => this.#inheritance.take(name) ?? this.#legacy.take(name) ?? []);
  }

  #canContinue(record: DeviceRecord, sockets: readonly number[]): boolean {
    return (
      record.handedOver &&
      sockets.length === record.sockets &&
      !sockets.some((fd) => this.#calls.hasHungUp(fd))
    );
  }

  /** The device keeps the size it was attached with until it is served again; a smaller logical unit is for people to judge. */
  async #followSize(attachment: KernelAttachment, { geometry }: OwnedDeviceRequest): Promise<void> {
    const { index, path } = attachment;
    const shown = await new SysfsDevice(index, this.#surroundings).sizeBytes();
    const wanted = wholeBlocks(geometry.sizeBytes, geometry.logicalBlockLength);
    if (shown === undefined || shown === wanted) return;
    if (wanted < shown) {
      this.#logger.error(
        `${path} keeps its ${shown} bytes, but the logical unit has shrunk to ${wanted}: what lies beyond fails`,
      );
      return;
    }
    // Not waited for: the kernel may want to see requests end first that it will only send again in a while.
    attachment.resize(wanted).then(
      () => this.#logger.info(`${path} has grown`, { before: shown, now: wanted }),
      (error: unknown) => this.#logger.error(`${path}: ${(error as Error).message}`),
    );
  }

  #own(attachment: KernelAttachment, request: OwnedDeviceRequest): OwnedDevice {
    const { index, path, serverFds } = attachment;
    const { geometry, backendIdentifier, owner } = request;
    const record: DeviceRecord = {
      version: 1,
      index,
      backendIdentifier,
      owner,
      sockets: Math.max(serverFds.length, request.lanes),
      sizeBytes: wholeBlocks(geometry.sizeBytes, geometry.logicalBlockLength),
      blockSize: geometry.logicalBlockLength,
      readOnly: geometry.readOnly,
      deadConnTimeoutSeconds: this.#devices.deadConnTimeoutSeconds(request),
      handedOver: false,
    };
    this.#records.write(record);
    return {
      ...attachment,
      deadConnTimeoutSeconds: record.deadConnTimeoutSeconds,
      users: () => this.#lastingUsers(path.slice('/dev/'.length)),
      leave: (sockets) => {
        this.#leave(record, sockets);
      },
      detach: async () => {
        const isIdle = await attachment.detach();
        this.#records.remove(index);
        return isIdle;
      },
    };
  }

  #leave(record: DeviceRecord, sockets: readonly (number | undefined)[]): void {
    const open = sockets.filter((fd) => fd !== undefined);
    const handedOver =
      open.length === record.sockets && !open.some((fd) => this.#calls.hasHungUp(fd));
    this.#records.write({ ...record, handedOver, unservedSince: this.#uptime() });
    open.forEach((fd, lane) => {
      if (handedOver) this.#legacy.add(socketName(record.index, lane), fd);
      else this.#calls.closeFd(fd);
    });
  }

  async #lastingUsers(name: string): Promise<string[]> {
    const surroundings = this.#surroundings;
    const end = surroundings.now() + passingUserMs;
    for (;;) {
      const users = await this.#usersOf(name);
      const mayPass = users.every((user) => user.startsWith('open in '));
      if (users.length === 0 || !mayPass || surroundings.now() >= end) return users;
      await surroundings.sleep(passingUserPollMs);
    }
  }

  #recordOf(index: number, backendIdentifier: string): DeviceRecord | undefined {
    const record = this.#records.read(index);
    return record?.backendIdentifier === backendIdentifier ? record : undefined;
  }

  /** Two devices of one volume: the first one's user would go on without its data, or write it to the wrong place. */
  async #refuseOtherUnit({ owner, backendIdentifier }: OwnedDeviceRequest): Promise<void> {
    for (const record of this.#records.all()) {
      if (record.owner !== owner || record.backendIdentifier === backendIdentifier) continue;
      if (!(await this.#isAttached(record))) continue;
      throw new KernelDeviceError(
        KernelDeviceErrorCode.otherUnit,
        `/dev/nbd${record.index} of this volume is attached to "${record.backendIdentifier}", but now "${backendIdentifier}" answers; ` +
          `"iserctl detach --force /dev/nbd${record.index}" gives it up`,
      );
    }
  }

  async #isAttached({ index, backendIdentifier }: DeviceRecord): Promise<boolean> {
    return (await devicesOf(backendIdentifier, this.#surroundings)).includes(index);
  }
}
