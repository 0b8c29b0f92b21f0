import { CodedError } from '../../src/errors.ts';
import type { Tell } from '../events.ts';
import type { LaneEvent, SessionReport } from '../lane/messages.ts';
import type { LanePort } from '../lane/lane-thread.ts';
import type { Logger } from '../logging.ts';
import type { LoginGate } from '../login-gate.ts';
import type { DeviceSuccession } from '../restart/device-succession.ts';
import type { Legacy } from '../restart/inheritance.ts';
import type { VolumeLock, VolumeLocks } from '../restart/volume-locks.ts';
import type { ListenPlace, SocketListeners } from '../socket-listener.ts';
import { StopMode, VolumeDevice } from './device.ts';
import { VolumeDoors } from './doors.ts';
import { VolumeSessions, type PlacedSession, type SessionEvent } from './sessions.ts';
import type { VolumeSpec } from './spec.ts';

/** waiting: it could not be started and will be tried again. */
export type VolumeState = 'stopped' | 'starting' | 'waiting' | 'serving' | 'failed' | 'stopping';

export interface VolumeSurroundings {
  readonly kernelDevices: Pick<DeviceSuccession, 'attach' | 'giveUpExpired' | 'leftBy'>;
  readonly locks: Pick<VolumeLocks, 'take'>;
  readonly legacy: Pick<Legacy, 'add'>;
  readonly listeners: Pick<SocketListeners, 'listen'>;
  readonly logins: Pick<LoginGate, 'run'>;
  readonly logger: Logger;
  /** Whether somebody calls `start` again after it has failed. */
  readonly isRetried: boolean;
  /** Told when a client that came by `serve` has gone (inetd style exits then). */
  readonly onClientEnded: (reason: string) => void;
  /** Told of whatever happens to the volume. */
  readonly tell: Tell;
}

const alreadyServed = 'already-served';

/** One configured logical unit: its sessions on lanes, its kernel device and its Unix socket. */
export class Volume {
  readonly #surroundings: VolumeSurroundings;
  readonly #sessions: VolumeSessions;
  readonly #doors: VolumeDoors;
  readonly #device: VolumeDevice;
  #spec: VolumeSpec;
  #state: VolumeState = 'stopped';
  #failure: string | undefined;
  /** Why one of the sessions has ended by itself. */
  #sessionFailure: string | undefined;
  #locks: VolumeLock[] = [];
  #stopMode: StopMode = StopMode.keepUsed;
  /** Settled when `start` has ended, however. */
  #started: Promise<unknown> = Promise.resolve();
  /** While it stops. */
  #stopped: Promise<void> | undefined;

  /** `lanes[i]` serves `spec.sessions[i]`. */
  constructor(spec: VolumeSpec, lanes: readonly LanePort[], surroundings: VolumeSurroundings) {
    const { listeners, logins, logger, tell } = surroundings;
    this.#spec = spec;
    this.#surroundings = surroundings;
    this.#sessions = new VolumeSessions({
      spec,
      lanes,
      logins,
      logger,
      onFailed: (message) => {
        this.#fail(message);
      },
      onResized: (beforeBytes, sizeBytes) => {
        tell({ event: 'geometry', volume: spec.name, beforeBytes, sizeBytes });
      },
    });
    const { kernelDevices } = surroundings;
    this.#device = new VolumeDevice({ volume: spec.name, kernelDevices, logger, tell });
    this.#doors = new VolumeDoors({
      listeners,
      serve: async (client, fd) => this.#serve(this.#sessions.next(), client, fd, true),
      onRefused: ({ message }) => logger.warn(`NBD client refused: ${message}`),
    });
  }

  get spec(): VolumeSpec {
    return this.#spec;
  }

  get state(): VolumeState {
    return this.#state;
  }

  get failure(): string | undefined {
    return this.#failure;
  }

  /** "/dev/nbdN" while attached. */
  get devicePath(): string | undefined {
    return this.#device.attached?.path;
  }

  /** Of the first session; with the geometry that all have now. */
  get report(): SessionReport | undefined {
    return this.#sessions.report;
  }

  /** In the order of `spec.sessions`; none while they are being opened. */
  get sessions(): readonly PlacedSession[] {
    return this.#sessions.placed;
  }

  ownsSession(lane: LanePort, session: number): boolean {
    return this.#sessions.owns(lane, session);
  }

  onClientEnded(event: Extract<LaneEvent, { event: 'clientEnded' }>): void {
    const { logger, onClientEnded, tell } = this.#surroundings;
    const { client, reason } = event;
    logger.debug('NBD client gone', { reason });
    this.#doors.clientGone(client);
    if (event.dropped) tell({ event: 'client-dropped', volume: this.#spec.name, reason });
    if (event.handshake) onClientEnded(reason);
    else if (this.#state === 'serving') {
      logger.error('the kernel closed a socket of the device', {
        device: this.devicePath,
        reason,
      });
    }
  }

  onSessionEvent(lane: LanePort, event: SessionEvent): void {
    this.#sessions.onEvent(lane, event);
  }

  /** Logs in, checks that all sessions reach the same logical unit, attaches the device, opens the socket. */
  start(): Promise<void> {
    this.#sessionFailure = undefined;
    this.#enter('starting');
    const started = this.#start();
    this.#started = started.catch(() => undefined);
    return started;
  }

  /** Serves NBD clients that come in there, until the volume stops. */
  listen(where: ListenPlace): void {
    this.#doors.open(where);
  }

  /** Serves one connected NBD client, on the lanes in turn. */
  async serveClient(fd: number): Promise<void> {
    await this.#serve(this.#sessions.next(), this.#doors.newClient(), fd, true);
  }

  /**
   * Takes up a specification that differs in nothing that sessions or the device are made from, but for the doors that are to be
   * opened: they are, by `openDoors`, when all volumes have closed theirs.
   */
  async adopt(spec: VolumeSpec): Promise<void> {
    this.#spec = spec;
    await this.#closeDoorsBut(spec.places);
  }

  /** Throws the first failure; the other doors are open then. */
  openDoors(): void {
    if (this.#state === 'serving') this.#doors.openAll(this.#spec.places);
  }

  /** Devices of the volume, served or left behind by a volume that could not be started, with who uses them. */
  async deviceUsers(): Promise<{ readonly path: string; readonly users: readonly string[] }[]> {
    const { attached } = this.#device;
    const devices = attached === undefined ? await this.#left() : [attached];
    const all = await Promise.all(
      devices.map(async ({ path, users }) => ({ path, users: await users() })),
    );
    return all.filter(({ users }) => users.length > 0);
  }

  /** NBD clients of its sockets. */
  get clients(): number {
    return this.#doors.clients;
  }

  /** Detaches or leaves the device, closes the socket, drains, logs out; a start under way is given up first. Never rejects. */
  stop(mode: StopMode = StopMode.keepUsed): Promise<void> {
    this.#stopped ??= this.#stop(mode).finally(() => {
      this.#stopped = undefined;
    });
    return this.#stopped;
  }

  async #start(): Promise<void> {
    const { owner } = this.#spec;
    try {
      // Before the login, which would end the sessions of the other daemon.
      if (owner !== undefined) this.#lock(this.#volumeSubject(owner));
      await this.#sessions.open();
      this.#refuseWhenStopping();
      if (owner !== undefined) this.#lock(this.#backendIdentifier);
      if (this.#spec.device !== undefined) await this.#attach(this.#spec.device);
      this.#refuseWhenStopping();
      if (this.#sessionFailure !== undefined)
        throw new CodedError('session-failed', this.#sessionFailure);
      for (const place of this.#spec.places) this.#doors.open(place);
      this.#failure = undefined;
      this.#enter('serving');
    } catch (error) {
      const isOurs = this.#locks.length > 0 && (error as { code?: string }).code !== alreadyServed;
      if (owner !== undefined && isOurs && this.#device.attached === undefined)
        await this.#surroundings.kernelDevices.giveUpExpired(owner);
      await this.#tearDown();
      this.#failure = (error as Error).message;
      this.#enter(this.#surroundings.isRetried ? 'waiting' : 'failed', this.#failure);
      throw error;
    }
  }

  async #stop(mode: StopMode): Promise<void> {
    this.#stopMode = mode;
    if (this.#state === 'starting') {
      this.#enter('stopping');
      await this.#sessions.cancelOpening();
      await this.#started;
    }
    if (mode === StopMode.force && this.#device.attached === undefined) {
      for (const device of await this.#left()) {
        await device.detach().catch((error: unknown) => {
          this.#surroundings.logger.error(`${device.path}: ${(error as Error).message}`);
        });
      }
    }
    if (this.#state === 'waiting') this.#enter('stopped');
    if (this.#state === 'stopped') return;
    this.#enter('stopping');
    await this.#tearDown();
    this.#enter('stopped');
  }

  #enter(state: VolumeState, reason?: string): void {
    this.#state = state;
    this.#surroundings.tell({ event: 'volume', volume: this.#spec.name, state, reason });
  }

  /** `stop` may have been called while something was waited for. */
  #refuseWhenStopping(): void {
    if (this.#state === 'stopping') {
      throw new CodedError('volume-stopped', `${this.#spec.name} was stopped while it started`);
    }
  }

  /** A session has met what it must not use: all of the volume's I/O ends with errors; the device and clients stay. */
  #fail(message: string): void {
    if (this.#sessionFailure !== undefined) return;
    this.#sessionFailure = message;
    if (this.#state !== 'serving') return;
    this.#failure = message;
    this.#enter('failed', message);
    this.#surroundings.logger.error(`the volume has failed, its I/O ends with errors: ${message}`);
    this.#sessions.fail();
  }

  async #serve(
    { lane, report: { session } }: PlacedSession,
    client: number,
    fd: number,
    handshake: boolean,
  ): Promise<void> {
    const exportName = this.#spec.name;
    await lane.call('serveSocket', { session, client, fd, handshake, exportName });
  }

  #volumeSubject(owner: string): string {
    const { name, sessions } = this.#spec;
    const portals = sessions[0].portals.map(({ host, port }) => ` ${host}:${port}`).join('');
    return `volume ${name} (${owner}${portals})`;
  }

  get #backendIdentifier(): string {
    return `${this.#backendPrefix}${this.#sessions.report?.identity ?? ''}`;
  }

  get #backendPrefix(): string {
    return `iserd:${this.#spec.name}:`;
  }

  async #left(): ReturnType<DeviceSuccession['leftBy']> {
    const { owner } = this.#spec;
    if (owner === undefined) return [];
    const { locks, kernelDevices } = this.#surroundings;
    try {
      locks.take(this.#volumeSubject(owner)).release();
    } catch {
      // Another daemon serves the volume: its devices are not left.
      return [];
    }
    return kernelDevices.leftBy(owner, this.#backendPrefix);
  }

  #lock(subject: string): void {
    this.#locks.push(this.#surroundings.locks.take(subject));
  }

  async #attach(device: string): Promise<void> {
    const { report, placed } = this.#sessions;
    const geometry = report?.geometry ?? placed[0].report.geometry;
    const owned = await this.#device.attach({
      spec: this.#spec,
      device,
      geometry,
      sessions: placed.length,
      backendIdentifier: this.#backendIdentifier,
      serve: async (fd, socket) => {
        const client = this.#doors.newClient();
        // A device that was attached with other lanes has other sockets than we have sessions.
        await this.#serve(placed[socket % placed.length], client, fd, false);
        return client;
      },
    });
    this.#sessions.follow(owned, geometry);
  }

  async #closeDoorsBut(places: VolumeSpec['places']): Promise<void> {
    for (const { message } of await this.#doors.closeAllBut(places))
      this.#surroundings.logger.error(`closing the socket: ${message}`);
  }

  async #tearDown(): Promise<void> {
    await this.#closeDoorsBut([]);
    await this.#sessions.unfollow();
    const mode = this.#stopMode;
    const isDetached = await this.#device.detach(mode, this.#spec.forceDetach === true);
    this.#device.leave(await this.#sessions.close(!isDetached));
    for (const lock of this.#locks) {
      if (mode === StopMode.handOver) this.#surroundings.legacy.add(lock.name, lock.fd);
      else lock.release();
    }
    this.#locks = [];
  }
}
