/** The size of a volume: what all of its sessions have found, and the kernel's device made to show it. */
import { isDeepStrictEqual } from 'node:util';
import type { BlockGeometry } from '../../src/block/device.ts';
import type { KernelAttachment } from '../device/kernel-device.ts';
import type { LanePort } from '../lane/lane-thread.ts';
import type { SessionReport } from '../lane/messages.ts';
import type { Logger } from '../logging.ts';

interface PlacedSession {
  readonly lane: LanePort;
  readonly report: SessionReport;
}

type ResizableDevice = Pick<KernelAttachment, 'path' | 'sizeBytes' | 'resize'>;

/**
 * A session serves only what it has found itself, and the kernel may use any session's socket for any request. So the volume has
 * the size of its smallest session; when one of them finds a change the others are made to look, and the device follows when all have.
 *
 * Thread: the main one. Resizing can wait for requests in flight, which the lanes go on serving.
 */
export class VolumeGeometry {
  readonly #sessions: readonly PlacedSession[];
  readonly #logger: Logger;
  readonly #geometries: BlockGeometry[];
  #device: ResizableDevice | undefined;
  #resizing: Promise<void> | undefined;
  /** The size has changed since the device was last looked at. */
  #isStale = false;

  constructor(sessions: readonly PlacedSession[], logger: Logger) {
    this.#sessions = sessions;
    this.#logger = logger;
    this.#geometries = sessions.map(({ report }) => report.geometry);
  }

  get current(): BlockGeometry {
    return this.#geometries.reduce((smallest, geometry) =>
      geometry.sizeBytes < smallest.sizeBytes ? geometry : smallest,
    );
  }

  /** A session has found its logical unit changed. */
  onChanged(lane: LanePort, session: number, geometry: BlockGeometry): void {
    const index = this.#sessions.findIndex(
      (placed) => placed.lane === lane && placed.report.session === session,
    );
    if (index < 0) return;
    const before = this.current.sizeBytes;
    this.#geometries[index] = geometry;
    this.#sessions.forEach((other, position) => {
      if (!isDeepStrictEqual(this.#geometries[position], geometry)) this.#inspect(other);
    });
    const { sizeBytes } = this.current;
    if (sizeBytes !== before)
      this.#logger.info('the volume has another size', { before, sizeBytes });
    this.#resizeDevice();
  }

  /** The device has been attached, asked to show `attached`; it is kept up to date from now on. */
  follow(device: ResizableDevice, attached: BlockGeometry): void {
    this.#device = device;
    if (this.current.sizeBytes !== attached.sizeBytes) this.#resizeDevice();
  }

  /** The device is let alone from now on; resolves when a resize under way has ended. */
  async close(): Promise<void> {
    this.#device = undefined;
    await this.#resizing;
  }

  #inspect({ lane, report: { session } }: PlacedSession): void {
    lane.call('inspectSession', { session }).catch((error: unknown) => {
      this.#logger.warn(`looking at the logical unit again: ${(error as Error).message}`);
    });
  }

  /** One resize at a time. */
  #resizeDevice(): void {
    this.#isStale = true;
    this.#resizing ??= this.#follow().finally(() => {
      this.#resizing = undefined;
    });
  }

  async #follow(): Promise<void> {
    while (this.#isStale && this.#device !== undefined) {
      this.#isStale = false;
      const { sizeBytes } = this.current;
      try {
        await this.#grow(this.#device, sizeBytes);
      } catch (error) {
        this.#logger.error(`the device keeps its size: ${(error as Error).message}`, { sizeBytes });
      }
    }
  }

  /** A device never gets smaller. */
  async #grow(device: ResizableDevice, sizeBytes: number): Promise<void> {
    const before = await device.sizeBytes();
    if (before === undefined || before >= sizeBytes) return;
    await device.resize(sizeBytes);
    this.#logger.info('the device has grown', { device: device.path, before, sizeBytes });
  }
}
