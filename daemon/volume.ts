import { CodedError } from '../src/errors.ts';
import type { KernelAttachment, KernelDevice } from './kernel-device.ts';
import type { LaneEvent, SessionReport, SessionStatistics } from './lane/messages.ts';
import type { LanePort } from './lane/lane-thread.ts';
import type { Logger } from './logging.ts';
import type { SocketListener, SocketListeners } from './socket-listener.ts';
import type { VolumeSpec } from './volume-spec.ts';

export type VolumeState = 'stopped' | 'starting' | 'serving' | 'failed' | 'stopping';

export interface VolumeSurroundings {
  readonly kernelDevices: Pick<KernelDevice, 'attach'>;
  readonly listeners: Pick<SocketListeners, 'listen'>;
  readonly logger: Logger;
  /** Told when a client that came by `serve` has gone (inetd style exits then). */
  readonly onClientEnded: (reason: string) => void;
}

interface PlacedSession {
  readonly lane: LanePort;
  readonly report: SessionReport;
}

const drainTimeoutMs = 30_000;

/** One configured logical unit: its sessions on lanes, its kernel device and its Unix socket. */
export class Volume {
  readonly spec: VolumeSpec;
  readonly #lanes: readonly LanePort[];
  readonly #surroundings: VolumeSurroundings;
  #state: VolumeState = 'stopped';
  #failure: string | undefined;
  #sessions: PlacedSession[] = [];
  #attachment: KernelAttachment | undefined;
  #listener: SocketListener | undefined;
  #nextSession = 0;
  #nextClient = 0;
  /** Settled when `start` has ended, however. */
  #started: Promise<unknown> = Promise.resolve();
  /** Clients that the listener has accepted and still counts. */
  readonly #acceptedClients = new Set<number>();

  /** `lanes[i]` serves `spec.sessions[i]`. */
  constructor(spec: VolumeSpec, lanes: readonly LanePort[], surroundings: VolumeSurroundings) {
    this.spec = spec;
    this.#lanes = lanes;
    this.#surroundings = surroundings;
  }

  get state(): VolumeState {
    return this.#state;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  /** "/dev/nbdN" while attached. */
  get devicePath(): string | undefined {
    return this.#attachment?.path;
  }

  get report(): SessionReport | undefined {
    return this.#sessions.at(0)?.report;
  }

  ownsSession(lane: LanePort, session: number): boolean {
    return this.#sessions.some(
      (placed) => placed.lane === lane && placed.report.session === session,
    );
  }

  onClientEnded(event: Extract<LaneEvent, { event: 'clientEnded' }>): void {
    this.#surroundings.logger.debug('NBD client gone', { reason: event.reason });
    if (this.#acceptedClients.delete(event.client)) this.#listener?.clientClosed();
    if (event.handshake) this.#surroundings.onClientEnded(event.reason);
    else if (this.#state === 'serving') {
      this.#surroundings.logger.error('the kernel closed a socket of the device', {
        device: this.devicePath,
        reason: event.reason,
      });
    }
  }

  /** Logs in, checks that all sessions reach the same logical unit, attaches the device, opens the socket. */
  start(): Promise<void> {
    this.#state = 'starting';
    const started = this.#start();
    this.#started = started.catch(() => undefined);
    return started;
  }

  /** Serves NBD clients on a Unix path, or on a listening fd that somebody else opened. */
  listen(where: string | number): void {
    this.#listener = this.#surroundings.listeners.listen(where, (fd) => {
      const client = this.#nextClient++;
      this.#acceptedClients.add(client);
      this.#serve(this.#nextPlace(), client, fd, true).catch((error: unknown) => {
        if (this.#acceptedClients.delete(client)) this.#listener?.clientClosed();
        this.#surroundings.logger.warn(`NBD client refused: ${(error as Error).message}`);
      });
    });
  }

  /** Serves one connected NBD client, on the lanes in turn. */
  async serveClient(fd: number): Promise<void> {
    await this.#serve(this.#nextPlace(), this.#nextClient++, fd, true);
  }

  /** Detaches the device, closes the socket, drains, logs out; a start under way is given up first. Never rejects. */
  async stop(): Promise<void> {
    if (this.#state === 'starting') {
      this.#state = 'stopping';
      const volume = this.spec.name;
      const lanes = [...new Set(this.#lanes)];
      await Promise.all(
        lanes.map((lane) => this.#step('giving up logins', lane.call('cancelOpening', { volume }))),
      );
      await this.#started;
    }
    if (this.#state === 'stopped' || this.#state === 'failed') return;
    this.#state = 'stopping';
    await this.#tearDown();
    this.#state = 'stopped';
  }

  /** Per session, in the order of `spec.sessions`. */
  async statistics(): Promise<SessionStatistics[]> {
    const all = await Promise.all(this.#sessions.map(({ lane }) => lane.call('statistics', {})));
    return all.flatMap((statistics, index) =>
      statistics.sessions.filter(({ session }) => session === this.#sessions[index].report.session),
    );
  }

  async #start(): Promise<void> {
    try {
      await this.#openSessions();
      this.#refuseWhenStopping();
      if (this.spec.device !== undefined) await this.#attach(this.spec.device);
      this.#refuseWhenStopping();
      if (this.spec.socket !== undefined) this.listen(this.spec.socket);
      this.#state = 'serving';
    } catch (error) {
      await this.#tearDown();
      this.#state = 'failed';
      this.#failure = (error as Error).message;
      throw error;
    }
  }

  /** `stop` may have been called while something was waited for. */
  #refuseWhenStopping(): void {
    if (this.#state === 'stopping') {
      throw new CodedError('volume-stopped', `${this.spec.name} was stopped while it started`);
    }
  }

  #nextPlace(): PlacedSession {
    return this.#sessions[this.#nextSession++ % this.#sessions.length];
  }

  async #serve(
    place: PlacedSession,
    client: number,
    fd: number,
    handshake: boolean,
  ): Promise<void> {
    const { session } = place.report;
    await place.lane.call('serveSocket', {
      session,
      client,
      fd,
      handshake,
      exportName: this.spec.name,
    });
  }

  async #openSessions(): Promise<void> {
    const results = await Promise.allSettled(
      this.spec.sessions.map(async (spec, index): Promise<PlacedSession> => {
        const lane = this.#lanes[index];
        return { lane, report: await lane.call('openSession', spec) };
      }),
    );
    this.#sessions = results.flatMap((result) =>
      result.status === 'fulfilled' ? [result.value] : [],
    );
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason as Error;
    const [first, ...others] = this.#sessions;
    for (const other of others) {
      if (other.report.identity !== first.report.identity) {
        throw new CodedError(
          'identity-mismatch',
          `sessions of ${this.spec.name} reach different logical units: ${first.report.identity} and ${other.report.identity}`,
        );
      }
    }
  }

  async #attach(device: string): Promise<void> {
    const { report } = this.#sessions[0];
    const replacementTimeoutMs = this.spec.sessions[0].replacementTimeoutMs;
    this.#attachment = await this.#surroundings.kernelDevices.attach({
      device,
      geometry: report.geometry,
      lanes: this.#sessions.length,
      backendIdentifier: `iserd:${this.spec.name}:${report.identity}`,
      requestTimeoutMs: replacementTimeoutMs,
      serve: async (serverFds) => {
        await Promise.all(
          serverFds.map((fd, index) =>
            this.#serve(this.#sessions[index], this.#nextClient++, fd, false),
          ),
        );
      },
    });
  }

  /** Taking down goes on whatever one step meets. */
  async #step(what: string, action: Promise<unknown> | undefined): Promise<void> {
    try {
      await action;
    } catch (error) {
      this.#surroundings.logger.error(`${what}: ${(error as Error).message}`);
    }
  }

  async #tearDown(): Promise<void> {
    const listener = this.#listener;
    this.#listener = undefined;
    await this.#step(
      'closing the socket',
      Promise.resolve().then(() => listener?.close()),
    );
    await this.#step('detaching the device', this.#attachment?.detach());
    this.#attachment = undefined;
    await Promise.all(
      this.#sessions.map(async ({ lane, report: { session } }) => {
        const drain = lane.call('drainSession', { session, timeoutMs: drainTimeoutMs });
        await this.#step('draining', drain);
        await this.#step('logging out', lane.call('closeSession', { session }));
      }),
    );
    this.#sessions = [];
  }
}
