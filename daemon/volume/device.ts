import type { BlockGeometry } from '../../src/block/device.ts';
import type { Tell } from '../events.ts';
import type { SessionSpec } from '../lane/messages.ts';
import type { Logger } from '../logging.ts';
import type { DeviceSuccession, OwnedDevice } from '../restart/device-succession.ts';
import type { VolumeSpec } from './spec.ts';

/** What becomes of a kernel device when its volume stops. */
export const StopMode = {
  /** It is detached, unless somebody uses it: then it waits for the next start. */
  keepUsed: 'keep-used',
  /** It is detached, and who uses it gets I/O errors. */
  force: 'force',
  /** It is left for the next start of the volume, which follows in this process. */
  leave: 'leave',
  /** This very process goes on as its own successor: everything is left for it. */
  handOver: 'hand-over',
} as const;
export type StopMode = (typeof StopMode)[keyof typeof StopMode];

export interface VolumeDeviceOptions {
  readonly volume: string;
  readonly kernelDevices: Pick<DeviceSuccession, 'attach'>;
  readonly logger: Logger;
  readonly tell: Tell;
}

export interface AttachOptions {
  readonly spec: VolumeSpec;
  readonly device: string;
  readonly geometry: BlockGeometry;
  readonly sessions: number;
  readonly backendIdentifier: string;
  /** Serves our end of the device's socket of this number. Resolves with the client that it is now. */
  readonly serve: (fd: number, socket: number) => Promise<number>;
}

/** The kernel device of one volume, from its attachment to its end. */
export class VolumeDevice {
  readonly #options: VolumeDeviceOptions;
  #device: OwnedDevice | undefined;
  /** Which socket of the device a client serves. */
  readonly #socketOfClient = new Map<number, number>();
  #left: OwnedDevice | undefined;

  constructor(options: VolumeDeviceOptions) {
    this.#options = options;
  }

  /** As long as it is attached and not about to end. */
  get attached(): OwnedDevice | undefined {
    return this.#device;
  }

  async attach(options: AttachOptions): Promise<OwnedDevice> {
    const { spec, device, geometry, sessions, backendIdentifier, serve } = options;
    const { deadConnTimeoutSeconds, owner = '' } = spec;
    const owned = await this.#options.kernelDevices.attach({
      device,
      geometry,
      lanes: sessions,
      backendIdentifier,
      owner,
      requestTimeoutMs: longestRequestMs(spec.sessions[0]),
      ...(deadConnTimeoutSeconds === undefined ? {} : { deadConnTimeoutSeconds }),
      serve: async (serverFds) => {
        await Promise.all(
          serverFds.map(async (fd, socket) => {
            this.#socketOfClient.set(await serve(fd, socket), socket);
          }),
        );
      },
    });
    this.#device = owned;
    this.#tell(owned.path, 'attached');
    return owned;
  }

  /** Begins the end: detaches the device. False: it is to be left instead, by `leave` when its sockets have been drained. Never rejects. */
  async detach(mode: StopMode, isForced: boolean): Promise<boolean> {
    const device = this.#device;
    this.#device = undefined;
    if (device === undefined) return true;
    if (await this.#isToBeLeft(device, mode, isForced)) {
      this.#left = device;
      return false;
    }
    try {
      await device.detach();
    } catch (error) {
      this.#options.logger.error(`detaching the device: ${(error as Error).message}`);
    }
    this.#tell(device.path, 'detached');
    this.#socketOfClient.clear();
    return true;
  }

  /** `sockets`: our ends of those that were drained at a request boundary. Never throws. */
  leave(sockets: readonly { readonly client: number; readonly fd: number }[]): void {
    const device = this.#left;
    this.#left = undefined;
    if (device === undefined) return;
    const byNumber: (number | undefined)[] = [];
    for (const { client, fd } of sockets) byNumber[this.#socketOfClient.get(client) ?? -1] = fd;
    try {
      device.leave(Array.from(byNumber));
    } catch (error) {
      this.#options.logger.error(`leaving the device: ${(error as Error).message}`);
    }
    this.#tell(device.path, 'left');
    this.#socketOfClient.clear();
  }

  #tell(device: string, change: 'attached' | 'detached' | 'left'): void {
    this.#options.tell({ event: 'device', volume: this.#options.volume, device, change });
  }

  async #isToBeLeft(device: OwnedDevice, mode: StopMode, isForced: boolean): Promise<boolean> {
    if (mode === StopMode.handOver || mode === StopMode.leave) return true;
    if (mode === StopMode.force || isForced) return false;
    const users = await device.users();
    if (users.length === 0) return false;
    const { path, deadConnTimeoutSeconds } = device;
    this.#options.logger.warn(
      `${path} is in use (${users.join(', ')}): it stays attached. Its I/O waits for the next start of this volume, ` +
        `at most ${deadConnTimeoutSeconds} s; "iserctl detach --force ${path}" ends it with I/O errors`,
    );
    return true;
  }
}

/** After it every request has been answered; Infinity: never for sure. */
function longestRequestMs({ replacementTimeoutMs, commandTimeoutMs }: SessionSpec): number {
  // With 0 nothing waits for a lost target; one that is there has its time for the slowest commands and for aborting them.
  return replacementTimeoutMs === 0 ? commandTimeoutMs * 6 : replacementTimeoutMs;
}
