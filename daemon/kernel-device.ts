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
import { CodedError, ConfigurationError } from '../src/errors.ts';
import type { BlockGeometry } from '../src/block/device.ts';
import type { NativeNbdAttach, NativeError } from '../src/reactor/native.ts';
import { realSurroundings, SysfsDevice, type Surroundings } from './kernel-device-sysfs.ts';
import { system, type System } from './system.ts';

/** Transmission flags (proto.md: Transmission flags) that the kernel's client acts on. */
const TransmissionFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendFua: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  canMultiConn: 1 << 8,
} as const;

export const KernelDeviceErrorCode = {
  /** The kernel has no "nbd" netlink family. */
  moduleMissing: 'nbd-module-missing',
  notPermitted: 'nbd-not-permitted',
  /** Somebody's export is attached to the device. */
  inUse: 'device-in-use',
  /** The idle device is held open by another process. */
  busy: 'device-busy',
  /** The device serves another backend than the one to re-attach. */
  otherBackend: 'device-other-backend',
  attachFailed: 'attach-failed',
  sizeNotSeen: 'device-size-not-seen',
} as const;

export class KernelDeviceError extends CodedError {}

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
};

export interface KernelAttachment {
  readonly index: number;
  /** "/dev/nbdN". */
  readonly path: string;
  readonly serverFds: readonly number[];
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
const reattachAttempts = 20;

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
    return this.#attachment(index, device, request, server);
  }

  /**
   * Gives the device `index`, whose server has died, new sockets: the kernel then resends what was in flight. Shut the old sockets
   * down first. The size is left alone: changing it here would wait for the very I/O that waits for the sockets.
   */
  async reattach(index: number, request: KernelDeviceRequest): Promise<KernelAttachment> {
    const device = new SysfsDevice(index, this.#surroundings);
    const backend = await device.backend();
    if (backend !== request.backendIdentifier) {
      throw new KernelDeviceError(
        KernelDeviceErrorCode.otherBackend,
        `/dev/nbd${index} serves "${backend ?? 'nothing'}", not "${request.backendIdentifier}"`,
      );
    }
    const accepted = await this.#replaceAll(index, request);
    await request.serve(accepted);
    await this.#tune(device, request.lanes);
    return this.#attachment(index, device, request, accepted);
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
      deadConnTimeoutSeconds: this.#settings.deadConnTimeoutSeconds,
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
        if ((error as NativeError).code !== 'EBUSY') throw explain(error as NativeError);
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
  async #replaceAll(index: number, request: KernelDeviceRequest): Promise<number[]> {
    const { lanes } = request;
    const accepted: number[] = [];
    try {
      for (let attempt = 0; accepted.length < lanes && attempt < reattachAttempts; attempt++)
        accepted.push(...(await this.#replace(index, request, lanes - accepted.length)));
      if (accepted.length < lanes) {
        throw new KernelDeviceError(
          KernelDeviceErrorCode.attachFailed,
          `the kernel took ${accepted.length} of ${lanes} new sockets for /dev/nbd${index}: the others' predecessors are alive`,
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
      await this.#calls.nbdReconfigure({ index, backendIdentifier, sockets: kernel });
    } catch (error) {
      this.#closeAll(server);
      throw explain(error as NativeError);
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

/** The index in "/dev/nbdN"; undefined for "auto". */
function parseDevice(device: string): number | undefined {
  if (device === 'auto') return undefined;
  const digits = /^\/dev\/nbd(0|[1-9]\d{0,6})$/.exec(device)?.[1];
  if (digits === undefined) {
    throw new ConfigurationError(
      'device-name',
      `device: "${device}" is neither "auto" nor "/dev/nbdN"`,
    );
  }
  return Number(digits);
}

function wholeBlocks(sizeBytes: number, blockSize: number): number {
  return Math.floor(sizeBytes / blockSize) * blockSize;
}

function serverFlags(geometry: BlockGeometry, sockets: number): number {
  let flags = TransmissionFlag.hasFlags | TransmissionFlag.sendFlush | TransmissionFlag.sendFua;
  if (geometry.readOnly) flags |= TransmissionFlag.readOnly;
  else flags |= TransmissionFlag.sendWriteZeroes;
  if (geometry.canTrim && !geometry.readOnly) flags |= TransmissionFlag.sendTrim;
  if (geometry.rotational) flags |= TransmissionFlag.rotational;
  if (sockets > 1) flags |= TransmissionFlag.canMultiConn;
  return flags;
}

function explain(error: NativeError): KernelDeviceError {
  const options = { cause: error };
  if (error.syscall === 'genl_ctrl_resolve(nbd)' && error.code === 'ENOENT') {
    return new KernelDeviceError(
      KernelDeviceErrorCode.moduleMissing,
      'the kernel has no NBD client: run "modprobe nbd" (package linux-image-amd64)',
      options,
    );
  }
  if (error.code === 'EPERM' || error.code === 'EACCES') {
    return new KernelDeviceError(
      KernelDeviceErrorCode.notPermitted,
      'attaching a kernel device needs CAP_SYS_ADMIN: run as root, or serve a Unix socket instead',
      options,
    );
  }
  return new KernelDeviceError(
    KernelDeviceErrorCode.attachFailed,
    `the kernel refused the nbd device: ${error.message}`,
    options,
  );
}
