/**
 * /dev/nbdN: attaches the kernel's NBD client to sockets of this process over generic netlink (linux/nbd-netlink.h), re-attaches
 * it after a crash of the process that served it before, resizes and detaches it.
 *
 * How the kernel times out decides between two recipes:
 * - one socket: TIMEOUT 0. A slow request is never killed; the request timer (queue/io_timeout) only resends what was in
 *   flight on a socket that has since been replaced.
 * - several sockets: a TIMEOUT of 0 would mean 30 s, after which the kernel kills a socket for one slow request. So TIMEOUT is set
 *   above the daemon's own deadline, which answers EIO first.
 */
import { ConfigurationError } from '../../src/errors.ts';
import type { BlockGeometry } from '../../src/block/device.ts';
import type { NativeNbdAttach, NativeError } from '../../src/reactor/native.ts';
import { parseDevice, serverFlags, wholeBlocks } from './attributes.ts';
import { explainRefusal, KernelDeviceError, KernelDeviceErrorCode } from './error.ts';
import { realSurroundings, SysfsDevice, type Surroundings } from './sysfs.ts';
import { system, type System } from '../system.ts';

export interface KernelDeviceRequest {
  /** "auto" (first free) or "/dev/nbdN". */
  readonly device: string;
  readonly geometry: BlockGeometry;
  /** Sockets, one per lane. */
  readonly lanes: number;
  /** Shown in /sys/block/nbdN/backend; what a later re-attach must match. */
  readonly backendIdentifier: string;
  /** After it the daemon answers EIO itself; Infinity or negative = never, which one socket only can have. */
  readonly requestTimeoutMs: number;
  /** How long new I/O waits for a re-attach when no socket is alive; default: that of the settings. */
  readonly deadConnTimeoutSeconds?: number;
  /**
   * Takes the daemon's ends, which are the callee's to close from the call on, and resolves when they are being served. Called
   * before the kernel gets its ends, because udev reads from the device as soon as it appears.
   */
  readonly serve: (serverFds: readonly number[]) => Promise<void>;
}

export interface KernelDeviceSettings {
  /** How long new I/O waits for a re-attach when no socket is alive. */
  readonly deadConnTimeoutSeconds: number;
  /** Recipe of one socket: how soon after a re-attach the kernel resends what was in flight. */
  readonly resendIntervalMs: number;
  /** Recipe of several sockets: how far the kernel's timeout lies above the daemon's deadline. */
  readonly timeoutMarginSeconds: number;
  readonly sendBufferBytes: number;
  readonly maxSectorsKb: number;
  readonly scheduler: string;
  /** How long to try again while the idle device is held open (udev probes it). */
  readonly busyTimeoutMs: number;
  readonly sizeTimeoutMs: number;
  /** How long to offer new sockets while the kernel has not noticed that the old ones are dead. */
  readonly replaceTimeoutMs: number;
}

export const defaultSettings: KernelDeviceSettings = {
  deadConnTimeoutSeconds: 86_400,
  resendIntervalMs: 3000,
  timeoutMarginSeconds: 30,
  sendBufferBytes: 4 * 1024 * 1024,
  maxSectorsKb: 1024,
  scheduler: 'none',
  busyTimeoutMs: 10_000,
  sizeTimeoutMs: 10_000,
  replaceTimeoutMs: 10_000,
};

export interface KernelAttachment {
  readonly index: number;
  /** "/dev/nbdN". */
  readonly path: string;
  readonly serverFds: readonly number[];
  /** What the device shows; undefined when it is gone. */
  readonly sizeBytes: () => Promise<number | undefined>;
  /** New capacity, rounded down to whole blocks. All requests in flight must be able to end: the kernel waits for them. */
  readonly resize: (sizeBytes: number) => Promise<void>;
  /**
   * Fails whatever is in flight with EIO and lets go of the device. False when another process still has it open: the kernel
   * keeps the dead device until its last close. Idempotent.
   */
  readonly detach: () => Promise<boolean>;
}

type DeviceCalls = Pick<
  System,
  'socketPair' | 'closeFd' | 'hasHungUp' | 'nbdConnect' | 'nbdDisconnect' | 'nbdReconfigure'
>;

const busyRetryIntervalMs = 100;
/** The kernel closes a socket that it did not take within this time (it only takes as many as it has dead ones). */
const rejectionWindowMs = 60;

export class KernelDevice {
  readonly #calls: DeviceCalls;
  readonly #surroundings: Surroundings;
  readonly #settings: KernelDeviceSettings;

  constructor(
    options: {
      readonly calls?: DeviceCalls;
      readonly surroundings?: Surroundings;
      readonly settings?: Partial<KernelDeviceSettings>;
    } = {},
  ) {
    this.#calls = options.calls ?? system;
    this.#surroundings = options.surroundings ?? realSurroundings;
    this.#settings = { ...defaultSettings, ...options.settings };
  }

  /** Attaches a device and resolves when its capacity is visible. Rejects with KernelDeviceError or ConfigurationError. */
  async attach(request: KernelDeviceRequest): Promise<KernelAttachment> {
    const wanted = parseDevice(request.device);
    const attributes = this.#attributes(request);
    if (wanted !== undefined) await this.#refuseInUse(wanted);
    const { server, kernel } = this.#openPairs(request.lanes);
    let index: number;
    try {
      await request.serve(server);
      index = await this.#connect({ ...attributes, index: wanted ?? -1, sockets: kernel });
    } finally {
      // The kernel has its own references; ours would keep the server from seeing the end of the stream.
      this.#closeAll(kernel);
    }
    const device = new SysfsDevice(index, this.#surroundings);
    const size = Number(attributes.sizeBytes);
    if (
      !(await device.waitUntil(
        async () => (await device.sizeBytes()) === size,
        this.#settings.sizeTimeoutMs,
      ))
    ) {
      await this.#calls.nbdDisconnect(index);
      throw new KernelDeviceError(
        KernelDeviceErrorCode.sizeNotSeen,
        `/dev/nbd${index} does not show its ${size} bytes after ${this.#settings.sizeTimeoutMs} ms`,
      );
    }
    await this.#tune(device, request.lanes);
    await device.announce();
    return this.#attachment(index, device, request, server);
  }

  /**
   * Gives the device `index`, whose server has died, new sockets: the kernel then resends what was in flight. Shut the old sockets
   * down first. The size is left alone: changing it here would wait for the very I/O that waits for the sockets.
   *
   * `atLeast`: how many of the request's sockets the kernel must take; fewer than all when nobody knows how many it has.
   */
  async reattach(
    index: number,
    request: KernelDeviceRequest,
    atLeast = request.lanes,
  ): Promise<KernelAttachment> {
    const device = await this.#ownDevice(index, request);
    const accepted = await this.#replaceAll(index, request, atLeast);
    await request.serve(accepted);
    await this.#tune(device, request.lanes);
    return this.#attachment(index, device, request, accepted);
  }

  /** Goes on serving the device `index` on our ends of its sockets, left by a predecessor at a request boundary. */
  async adopt(
    index: number,
    request: KernelDeviceRequest,
    serverFds: readonly number[],
  ): Promise<KernelAttachment> {
    let device: SysfsDevice;
    // One socket has no timeout, and setting that would undo the queue's.
    const timeout: { timeoutSeconds?: number } = {};
    try {
      if (request.lanes > 1) timeout.timeoutSeconds = this.#timeoutSeconds(request);
      device = await this.#ownDevice(index, request);
    } catch (error) {
      this.#closeAll(serverFds);
      throw error;
    }
    await request.serve(serverFds);
    const { backendIdentifier } = request;
    const deadConnTimeoutSeconds = this.deadConnTimeoutSeconds(request);
    const changes = { index, backendIdentifier, deadConnTimeoutSeconds, ...timeout };
    await this.#calls.nbdReconfigure(changes);
    return this.#attachment(index, device, request, serverFds);
  }

  /** What new I/O of a device attached by this request waits for a socket. */
  deadConnTimeoutSeconds(request: KernelDeviceRequest): number {
    return request.deadConnTimeoutSeconds ?? this.#settings.deadConnTimeoutSeconds;
  }

  /** The device, if it has this backend and block size. */
  async #ownDevice(index: number, request: KernelDeviceRequest): Promise<SysfsDevice> {
    const device = new SysfsDevice(index, this.#surroundings);
    const backend = await device.backend();
    if (backend !== request.backendIdentifier) {
      throw new KernelDeviceError(
        KernelDeviceErrorCode.otherBackend,
        `/dev/nbd${index} serves "${backend ?? 'nothing'}", not "${request.backendIdentifier}"`,
      );
    }
    const blockSize = await device.blockSize();
    const { logicalBlockLength } = request.geometry;
    if (blockSize !== undefined && blockSize !== logicalBlockLength) {
      throw new KernelDeviceError(
        KernelDeviceErrorCode.otherBlockSize,
        `/dev/nbd${index} has blocks of ${blockSize} bytes, the logical unit of ${logicalBlockLength}`,
      );
    }
    return device;
  }

  #attributes(request: KernelDeviceRequest): Omit<NativeNbdAttach, 'index' | 'sockets'> {
    const { geometry, lanes } = request;
    const blockSize = geometry.logicalBlockLength;
    const sizeBytes = wholeBlocks(geometry.sizeBytes, blockSize);
    if (sizeBytes === 0) {
      throw new ConfigurationError(
        'device-empty',
        'a device of less than one block cannot be attached',
      );
    }
    return {
      sizeBytes: BigInt(sizeBytes),
      blockSize,
      serverFlags: serverFlags(geometry, lanes),
      timeoutSeconds: this.#timeoutSeconds(request),
      deadConnTimeoutSeconds: this.deadConnTimeoutSeconds(request),
      backendIdentifier: request.backendIdentifier,
    };
  }

  #timeoutSeconds({ lanes, requestTimeoutMs }: KernelDeviceRequest): number {
    if (lanes === 1) return 0;
    if (requestTimeoutMs < 0 || !Number.isFinite(requestTimeoutMs)) {
      throw new ConfigurationError(
        'device-needs-timeout',
        `a kernel device with ${lanes} lanes needs a finite replacement_timeout: the kernel would kill sockets of slow requests`,
      );
    }
    return Math.ceil(requestTimeoutMs / 1000) + this.#settings.timeoutMarginSeconds;
  }

  #openPairs(count: number): { server: number[]; kernel: number[] } {
    const server: number[] = [];
    const kernel: number[] = [];
    try {
      for (let i = 0; i < count; i++) {
        const [ours, kernels] = this.#calls.socketPair(this.#settings.sendBufferBytes);
        server.push(ours);
        kernel.push(kernels);
      }
    } catch (error) {
      this.#closeAll([...server, ...kernel]);
      throw error;
    }
    return { server, kernel };
  }

  #closeAll(fds: readonly number[]): void {
    for (const fd of fds) this.#calls.closeFd(fd);
  }

  async #refuseInUse(index: number): Promise<void> {
    const device = new SysfsDevice(index, this.#surroundings);
    if (!(await device.attached())) return;
    const backend = await device.backend();
    throw new KernelDeviceError(
      KernelDeviceErrorCode.inUse,
      `/dev/nbd${index} is attached already${backend === undefined ? '' : ` (to "${backend}")`}`,
    );
  }

  /** EBUSY of an idle device means that somebody, usually udev, has its node open: a matter of moments. */
  async #connect(attributes: NativeNbdAttach): Promise<number> {
    const surroundings = this.#surroundings;
    const end = surroundings.now() + this.#settings.busyTimeoutMs;
    for (;;) {
      try {
        return await this.#calls.nbdConnect(attributes);
      } catch (error) {
        if ((error as NativeError).code !== 'EBUSY') throw explainRefusal(error as NativeError);
        if (attributes.index >= 0) await this.#refuseInUse(attributes.index);
        if (surroundings.now() >= end) {
          const name = attributes.index < 0 ? 'an nbd device' : `/dev/nbd${attributes.index}`;
          throw new KernelDeviceError(
            KernelDeviceErrorCode.busy,
            `${name} is idle, but another process has kept it open for ${this.#settings.busyTimeoutMs} ms`,
            { cause: error },
          );
        }
        await surroundings.sleep(busyRetryIntervalMs);
      }
    }
  }

  /** Our ends of as many new sockets as the request has lanes, all kept by the kernel. */
  async #replaceAll(
    index: number,
    request: KernelDeviceRequest,
    atLeast: number,
  ): Promise<number[]> {
    const { lanes } = request;
    const surroundings = this.#surroundings;
    const end = surroundings.now() + this.#settings.replaceTimeoutMs;
    const accepted: number[] = [];
    try {
      while (accepted.length < lanes && surroundings.now() < end) {
        const more = await this.#replace(index, request, lanes - accepted.length);
        if (more.length === 0 && accepted.length >= atLeast) break;
        accepted.push(...more);
      }
      if (accepted.length < atLeast) {
        throw new KernelDeviceError(
          KernelDeviceErrorCode.inUse,
          `the kernel took ${accepted.length} of ${lanes} new sockets for /dev/nbd${index}: another process serves the others`,
        );
      }
    } catch (error) {
      this.#closeAll(accepted);
      throw error;
    }
    return accepted;
  }

  /** Offers `count` new sockets; returns our ends of those that the kernel has kept. */
  async #replace(index: number, request: KernelDeviceRequest, count: number): Promise<number[]> {
    const { server, kernel } = this.#openPairs(count);
    try {
      const { backendIdentifier } = request;
      const deadConnTimeoutSeconds = this.deadConnTimeoutSeconds(request);
      await this.#calls.nbdReconfigure({
        index,
        backendIdentifier,
        deadConnTimeoutSeconds,
        sockets: kernel,
      });
    } catch (error) {
      this.#closeAll(server);
      if ((error as NativeError).code !== 'EINVAL') throw explainRefusal(error as NativeError);
      throw new KernelDeviceError(
        KernelDeviceErrorCode.disconnected,
        `/dev/nbd${index} was disconnected while it was open: it is dead until its last user closes it`,
        { cause: error },
      );
    } finally {
      this.#closeAll(kernel);
    }
    await this.#surroundings.sleep(rejectionWindowMs);
    const rejected = server.filter((fd) => this.#calls.hasHungUp(fd));
    this.#closeAll(rejected);
    return server.filter((fd) => !rejected.includes(fd));
  }

  async #tune(device: SysfsDevice, lanes: number): Promise<void> {
    await device.setQueue('max_sectors_kb', this.#settings.maxSectorsKb);
    await device.setQueue('scheduler', this.#settings.scheduler);
    if (lanes === 1) await device.setQueue('io_timeout', this.#settings.resendIntervalMs);
  }

  #attachment(
    index: number,
    device: SysfsDevice,
    { backendIdentifier, geometry }: KernelDeviceRequest,
    serverFds: readonly number[],
  ): KernelAttachment {
    let detached: Promise<boolean> | undefined;
    const detach = async (): Promise<boolean> => {
      await this.#calls.nbdDisconnect(index);
      return device.waitUntil(async () => !(await device.attached()), releaseTimeoutMs);
    };
    return {
      index,
      path: `/dev/nbd${index}`,
      serverFds,
      sizeBytes: () => device.sizeBytes(),
      resize: async (sizeBytes) => {
        await this.#calls.nbdReconfigure({
          index,
          backendIdentifier,
          sizeBytes: BigInt(wholeBlocks(sizeBytes, geometry.logicalBlockLength)),
        });
      },
      detach: () => (detached ??= detach()),
    };
  }
}

/** How long a detached device may take to become idle when nobody has it open. */
const releaseTimeoutMs = 2000;
