import { CodedError } from '../../src/errors.ts';
import type { BlockGeometry } from '../../src/block/device.ts';
import type { LaneEvent, SessionReport } from '../lane/messages.ts';
import type { LanePort } from '../lane/lane-thread.ts';
import type { Logger } from '../logging.ts';
import type { LoginGate } from '../login-gate.ts';
import type { OwnedDevice } from '../restart/device-succession.ts';
import { VolumeGeometry } from './geometry.ts';
import type { VolumeSpec } from './spec.ts';

/** What a session tells of itself, and the volume must act on. */
export type SessionEvent = Extract<LaneEvent, { event: 'geometryChanged' | 'sessionFailed' }>;

export interface PlacedSession {
  readonly lane: LanePort;
  readonly report: SessionReport;
}

export interface VolumeSessionsOptions {
  readonly spec: VolumeSpec;
  /** `lanes[i]` serves `spec.sessions[i]`. */
  readonly lanes: readonly LanePort[];
  readonly logins: Pick<LoginGate, 'run'>;
  readonly logger: Logger;
  /** A session has ended by itself, for good. */
  readonly onFailed: (message: string) => void;
  readonly onResized: (beforeBytes: number, sizeBytes: number) => void;
}

const drainTimeoutMs = 30_000;

/** The sessions of one volume, all to the same logical unit: opened together, closed together. */
export class VolumeSessions {
  readonly #options: VolumeSessionsOptions;
  #placed: PlacedSession[] = [];
  /** As long as there are sessions. */
  #geometry: VolumeGeometry | undefined;
  /** Of sessions that are not all open yet. */
  #earlyEvents: { readonly lane: LanePort; readonly event: SessionEvent }[] = [];
  #opening = new AbortController();
  #next = 0;

  constructor(options: VolumeSessionsOptions) {
    this.#options = options;
  }

  /** Of the first session; with the geometry that all have now. */
  get report(): SessionReport | undefined {
    const geometry = this.#geometry?.current;
    const report = this.#placed.at(0)?.report;
    return geometry === undefined || report === undefined ? undefined : { ...report, geometry };
  }

  get placed(): readonly PlacedSession[] {
    return this.#placed;
  }

  /** The sessions in turn. Throws CodedError `no-session` when there is none. */
  next(): PlacedSession {
    const session = this.#placed.at(this.#next++ % Math.max(1, this.#placed.length));
    if (session === undefined) throw new CodedError('no-session', 'the volume has no session');
    return session;
  }

  owns(lane: LanePort, session: number): boolean {
    return this.#placed.some((placed) => placed.lane === lane && placed.report.session === session);
  }

  onEvent(lane: LanePort, event: SessionEvent): void {
    if (this.#geometry === undefined) {
      this.#earlyEvents.push({ lane, event });
    } else if (event.event === 'geometryChanged') {
      const before = this.#geometry.current.sizeBytes;
      this.#geometry.onChanged(lane, event.session, event.geometry);
      const { sizeBytes } = this.#geometry.current;
      if (sizeBytes !== before) this.#options.onResized(before, sizeBytes);
    } else if (this.owns(lane, event.session)) {
      this.#options.onFailed(event.message);
    }
  }

  /** Logs in, and checks that all sessions reach the same logical unit. Those that are open when it rejects are the caller's to close. */
  async open(): Promise<void> {
    const { spec, lanes, logins, logger } = this.#options;
    this.#earlyEvents = [];
    this.#opening = new AbortController();
    const { signal } = this.#opening;
    const results = await Promise.allSettled(
      spec.sessions.map(async (session, index): Promise<PlacedSession> => {
        const lane = lanes[index];
        return { lane, report: await logins.run(() => lane.call('openSession', session), signal) };
      }),
    );
    this.#placed = results.flatMap((result) =>
      result.status === 'fulfilled' ? [result.value] : [],
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason as Error;
    this.#geometry = new VolumeGeometry(this.#placed, logger);
    for (const { lane, event } of this.#earlyEvents.splice(0)) this.onEvent(lane, event);
    const [first, ...others] = this.#placed;
    for (const other of others) {
      if (other.report.identity !== first.report.identity) {
        throw new CodedError(
          'identity-mismatch',
          `sessions of ${spec.name} reach different logical units: ${first.report.identity} and ${other.report.identity}`,
        );
      }
    }
  }

  /** Gives up what `open` is waiting for. */
  async cancelOpening(): Promise<void> {
    this.#opening.abort();
    const volume = this.#options.spec.name;
    const lanes = [...new Set(this.#options.lanes)];
    await Promise.all(
      lanes.map((lane) => this.#step('giving up logins', lane.call('cancelOpening', { volume }))),
    );
  }

  /** Whatever they have, and get, ends with errors; clients stay. */
  fail(): void {
    for (const { lane, report } of this.#placed) {
      void this.#step('failing a session', lane.call('failSession', { session: report.session }));
    }
  }

  /** The device shows the size of the volume from now on. */
  follow(device: OwnedDevice, attached: BlockGeometry): void {
    this.#geometry?.follow(device, attached);
  }

  /** The device is let alone from now on. */
  async unfollow(): Promise<void> {
    await this.#geometry?.close();
    this.#geometry = undefined;
  }

  /**
   * Drains clients, logs out. With `keepSockets` returns our ends of the kernel's sockets that were left at a request boundary. Never
   * rejects.
   */
  async close(keepSockets: boolean): Promise<{ readonly client: number; readonly fd: number }[]> {
    const kept = await Promise.all(
      this.#placed.map(async ({ lane, report: { session } }) => {
        const parameters = { session, timeoutMs: drainTimeoutMs, keepSockets };
        const drained = await this.#step('draining', lane.call('drainSession', parameters));
        await this.#step('logging out', lane.call('closeSession', { session }));
        return drained?.sockets ?? [];
      }),
    );
    this.#placed = [];
    return kept.flat();
  }

  /** Taking down goes on whatever one step meets. */
  async #step<T>(what: string, action: Promise<T>): Promise<T | undefined> {
    try {
      return await action;
    } catch (error) {
      this.#options.logger.error(`${what}: ${(error as Error).message}`);
      return undefined;
    }
  }
}
