import { CodedError } from '../src/errors.ts';
import type { LaneEvent, SessionReport, SessionSpec } from './lane/messages.ts';
import type { LanePort } from './lane/lane-thread.ts';
import type { Logger } from './logging.ts';
import type { DeviceSuccession, OwnedDevice } from './restart/device-succession.ts';
import type { Legacy } from './restart/inheritance.ts';
import type { VolumeLock, VolumeLocks } from './restart/volume-locks.ts';
import type { ListenPlace, SocketListener, SocketListeners } from './socket-listener.ts';
import { VolumeGeometry } from './volume-geometry.ts';
import type { VolumeSpec } from './volume-spec.ts';

/** waiting: it could not be started and will be tried again. */
export type VolumeState = 'stopped' | 'starting' | 'waiting' | 'serving' | 'failed' | 'stopping';

/** What becomes of a kernel device when its volume stops. */
export const StopMode = {
  /** It is detached, unless somebody uses it: then it waits for the next start. */
  keepUsed: 'keep-used',
  /** It is detached, and who uses it gets I/O errors. */
  force: 'force',
  /** This very process goes on as its own successor: everything is left for it. */
  handOver: 'hand-over',
} as const;
export type StopMode = (typeof StopMode)[keyof typeof StopMode];

export interface VolumeSurroundings {
  readonly kernelDevices: Pick<DeviceSuccession, 'attach' | 'giveUpExpired'>;
  readonly locks: Pick<VolumeLocks, 'take'>;
  readonly legacy: Pick<Legacy, 'add'>;
  readonly listeners: Pick<SocketListeners, 'listen'>;
  readonly logger: Logger;
  /** Whether somebody calls `start` again after it has failed. */
  readonly isRetried: boolean;
  /** Told when a client that came by `serve` has gone (inetd style exits then). */
  readonly onClientEnded: (reason: string) => void;
}

export interface PlacedSession {
  readonly lane: LanePort;
  readonly report: SessionReport;
}

/** What a session tells of itself. */
export type SessionEvent = Extract<LaneEvent, { event: 'geometryChanged' | 'sessionFailed' }>;

const drainTimeoutMs = 30_000;
const alreadyServed = 'already-served';

/** One configured logical unit: its sessions on lanes, its kernel device and its Unix socket. */
export class Volume {
  readonly spec: VolumeSpec;
  readonly #lanes: readonly LanePort[];
  readonly #surroundings: VolumeSurroundings;
  #state: VolumeState = 'stopped';
  #failure: string | undefined;
  #sessions: PlacedSession[] = [];
  /** As long as there are sessions. */
  #geometry: VolumeGeometry | undefined;
  /** Why one of the sessions has ended by itself. */
  #sessionFailure: string | undefined;
  /** Events of sessions that are not all open yet. */
  #earlyEvents: { readonly lane: LanePort; readonly event: SessionEvent }[] = [];
  #attachment: OwnedDevice | undefined;
  /** Which socket of the device a client serves. */
  readonly #socketOfClient = new Map<number, number>();
  #locks: VolumeLock[] = [];
  #stopMode: StopMode = StopMode.keepUsed;
  readonly #listeners: SocketListener[] = [];
  #nextSession = 0;
  #nextClient = 0;
  /** Settled when `start` has ended, however. */
  #started: Promise<unknown> = Promise.resolve();
  /** Clients that a listener has accepted and still counts. */
  readonly #acceptedClients = new Map<number, SocketListener>();

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

  /** Of the first session; with the geometry that all have now. */
  get report(): SessionReport | undefined {
    const geometry = this.#geometry?.current;
    const report = this.#sessions.at(0)?.report;
    return geometry === undefined || report === undefined ? undefined : { ...report, geometry };
  }

  /** In the order of `spec.sessions`; none while they are being opened. */
  get sessions(): readonly PlacedSession[] {
    return this.#sessions;
  }

  ownsSession(lane: LanePort, session: number): boolean {
    return this.#sessions.some(
      (placed) => placed.lane === lane && placed.report.session === session,
    );
  }

  onClientEnded(event: Extract<LaneEvent, { event: 'clientEnded' }>): void {
    this.#surroundings.logger.debug('NBD client gone', { reason: event.reason });
    this.#forgetClient(event.client);
    if (event.handshake) this.#surroundings.onClientEnded(event.reason);
    else if (this.#state === 'serving') {
      this.#surroundings.logger.error('the kernel closed a socket of the device', {
        device: this.devicePath,
        reason: event.reason,
      });
    }
  }

  onSessionEvent(lane: LanePort, event: SessionEvent): void {
    if (this.#geometry === undefined) {
      this.#earlyEvents.push({ lane, event });
    } else if (event.event === 'geometryChanged') {
      this.#geometry.onChanged(lane, event.session, event.geometry);
    } else if (this.ownsSession(lane, event.session)) {
      this.#fail(event.message);
    }
  }

  /** Logs in, checks that all sessions reach the same logical unit, attaches the device, opens the socket. */
  start(): Promise<void> {
    this.#state = 'starting';
    const started = this.#start();
    this.#started = started.catch(() => undefined);
    return started;
  }

  /** Serves NBD clients that come in there. */
  listen(where: ListenPlace): void {
    const listener: SocketListener = this.#surroundings.listeners.listen(where, (fd) => {
      const client = this.#nextClient++;
      this.#acceptedClients.set(client, listener);
      this.#serve(this.#nextPlace(), client, fd, true).catch((error: unknown) => {
        this.#forgetClient(client);
        this.#surroundings.logger.warn(`NBD client refused: ${(error as Error).message}`);
      });
    });
    this.#listeners.push(listener);
  }

  /** Serves one connected NBD client, on the lanes in turn. */
  async serveClient(fd: number): Promise<void> {
    await this.#serve(this.#nextPlace(), this.#nextClient++, fd, true);
  }

  /** Detaches or leaves the device, closes the socket, drains, logs out; a start under way is given up first. Never rejects. */
  async stop(mode: StopMode = StopMode.keepUsed): Promise<void> {
    this.#stopMode = mode;
    if (this.#state === 'starting') {
      this.#state = 'stopping';
      const volume = this.spec.name;
      const lanes = [...new Set(this.#lanes)];
      await Promise.all(
        lanes.map((lane) => this.#step('giving up logins', lane.call('cancelOpening', { volume }))),
      );
      await this.#started;
    }
    if (this.#state === 'waiting') this.#state = 'stopped';
    if (this.#state === 'stopped') return;
    this.#state = 'stopping';
    await this.#tearDown();
    this.#state = 'stopped';
  }

  async #start(): Promise<void> {
    const { owner } = this.spec;
    try {
      // Before the login, which would end the sessions of the other daemon.
      if (owner !== undefined) this.#lock(`volume ${this.spec.name} (${owner}${this.#portals})`);
      await this.#openSessions();
      this.#refuseWhenStopping();
      if (owner !== undefined) this.#lock(this.#backendIdentifier);
      if (this.spec.device !== undefined) await this.#attach(this.spec.device);
      this.#refuseWhenStopping();
      if (this.#sessionFailure !== undefined)
        throw new CodedError('session-failed', this.#sessionFailure);
      for (const place of this.spec.places) this.listen(place);
      this.#state = 'serving';
      this.#failure = undefined;
    } catch (error) {
      const isOurs = this.#locks.length > 0 && (error as { code?: string }).code !== alreadyServed;
      if (owner !== undefined && isOurs && this.#attachment === undefined)
        await this.#surroundings.kernelDevices.giveUpExpired(owner);
      await this.#tearDown();
      this.#state = this.#surroundings.isRetried ? 'waiting' : 'failed';
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

  /** A session has met what it must not use: all of the volume's I/O ends with errors; the device and clients stay. */
  #fail(message: string): void {
    if (this.#sessionFailure !== undefined) return;
    this.#sessionFailure = message;
    if (this.#state !== 'serving') return;
    this.#state = 'failed';
    this.#failure = message;
    this.#surroundings.logger.error(`the volume has failed, its I/O ends with errors: ${message}`);
    for (const { lane, report } of this.#sessions) {
      void this.#step('failing a session', lane.call('failSession', { session: report.session }));
    }
  }

  #forgetClient(client: number): void {
    this.#acceptedClients.get(client)?.clientClosed();
    this.#acceptedClients.delete(client);
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
    this.#sessionFailure = undefined;
    this.#geometry = new VolumeGeometry(this.#sessions, this.#surroundings.logger);
    for (const { lane, event } of this.#earlyEvents.splice(0)) this.onSessionEvent(lane, event);
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

  get #portals(): string {
    return this.spec.sessions[0].portals.map(({ host, port }) => ` ${host}:${port}`).join('');
  }

  get #backendIdentifier(): string {
    return `iserd:${this.spec.name}:${this.#sessions[0].report.identity}`;
  }

  #lock(subject: string): void {
    this.#locks.push(this.#surroundings.locks.take(subject));
  }

  async #attach(device: string): Promise<void> {
    const geometry = this.#geometry?.current ?? this.#sessions[0].report.geometry;
    const { deadConnTimeoutSeconds, owner = '' } = this.spec;
    this.#attachment = await this.#surroundings.kernelDevices.attach({
      device,
      geometry,
      lanes: this.#sessions.length,
      backendIdentifier: this.#backendIdentifier,
      owner,
      requestTimeoutMs: longestRequestMs(this.spec.sessions[0]),
      ...(deadConnTimeoutSeconds === undefined ? {} : { deadConnTimeoutSeconds }),
      serve: async (serverFds) => {
        await Promise.all(
          serverFds.map((fd, socket) => {
            const client = this.#nextClient++;
            this.#socketOfClient.set(client, socket);
            // A device that was attached with other lanes has other sockets than we have sessions.
            return this.#serve(this.#sessions[socket % this.#sessions.length], client, fd, false);
          }),
        );
      },
    });
    this.#geometry?.follow(this.#attachment, geometry);
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
    for (const listener of this.#listeners.splice(0)) {
      await this.#step(
        'closing the socket',
        Promise.resolve().then(() => {
          listener.close();
        }),
      );
    }
    await this.#geometry?.close();
    this.#geometry = undefined;
    const device = this.#attachment;
    this.#attachment = undefined;
    const left = device !== undefined && (await this.#isToBeLeft(device)) ? device : undefined;
    if (left === undefined) await this.#step('detaching the device', device?.detach());
    const sockets: (number | undefined)[] = [];
    await Promise.all(
      this.#sessions.map(async ({ lane, report: { session } }) => {
        const drain = async (): Promise<void> => {
          const parameters = {
            session,
            timeoutMs: drainTimeoutMs,
            keepSockets: left !== undefined,
          };
          const drained = await lane.call('drainSession', parameters);
          for (const { client, fd } of drained.sockets)
            sockets[this.#socketOfClient.get(client) ?? -1] = fd;
        };
        await this.#step('draining', drain());
        await this.#step('logging out', lane.call('closeSession', { session }));
      }),
    );
    await this.#step(
      'leaving the device',
      Promise.resolve().then(() => left?.leave(Array.from(sockets))),
    );
    this.#socketOfClient.clear();
    this.#sessions = [];
    for (const lock of this.#locks) {
      if (this.#stopMode === StopMode.handOver) this.#surroundings.legacy.add(lock.name, lock.fd);
      else lock.release();
    }
    this.#locks = [];
  }

  async #isToBeLeft(device: OwnedDevice): Promise<boolean> {
    if (this.#stopMode !== StopMode.keepUsed) return this.#stopMode === StopMode.handOver;
    if (this.spec.forceDetach === true) return false;
    const users = await device.users();
    if (users.length === 0) return false;
    const { path, deadConnTimeoutSeconds } = device;
    this.#surroundings.logger.warn(
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
