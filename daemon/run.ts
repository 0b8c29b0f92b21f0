/** The composition root: builds the daemon's parts, runs them until a signal, and takes them down in order. */
import { availableParallelism } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { systemTimers } from '../src/timers.ts';
import type { Config } from './config/schema.ts';
import type { Front } from './cli/serve-config.ts';
import { ControlServer } from './control/server.ts';
import { daemonStats } from './control/stats.ts';
import { daemonStatus } from './control/status.ts';
import { openMetrics } from './metrics/open.ts';
import type { MetricsEndpoint } from './metrics/endpoint.ts';
import { KernelDevice } from './kernel-device.ts';
import type { Logger } from './logging.ts';
import { DeviceRecords } from './restart/device-records.ts';
import { DeviceSuccession } from './restart/device-succession.ts';
import { Inheritance, isInheritedName, Legacy } from './restart/inheritance.ts';
import { runtimeDirectory } from './restart/runtime-directory.ts';
import { VolumeLocks } from './restart/volume-locks.ts';
import { ServiceNotifier } from './service-notifier.ts';
import { SocketListeners, type TcpPlace } from './socket-listener.ts';
import { StatisticsSampler } from './statistics/sampler.ts';
import { Supervisor } from './supervisor.ts';
import { system } from './system.ts';
import { StopMode, type Volume } from './volume.ts';
import type { VolumeSpec } from './volume-spec.ts';

export interface DaemonOptions {
  readonly config: Config;
  readonly specs: readonly VolumeSpec[];
  readonly logger: Logger;
  readonly front: Front;
  /** Volumes that cannot be started are tried again, instead of ending the daemon when there is no other. */
  readonly retries: boolean;
  /** Where iserctl finds us; undefined: nowhere. */
  readonly controlSocket: string | undefined;
}

const requestCapacityPerLane = 4096;

/**
 * Runs until SIGTERM, SIGINT, SIGHUP (the terminal is gone), the end of an inetd-style client, or a failure. Resolves with the exit code.
 * After SIGUSR2 it does not: the process becomes a new iserd with the same command line, which serves the devices on.
 */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const { config, logger, front } = options;
  const ending = new Ending();
  const directory = runtimeDirectory();
  const inheritance = Inheritance.ofThisProcess(system);
  const legacy = new Legacy();
  const listeners = new SocketListeners(
    config.limits.clients,
    (errno) => {
      logger.warn('NBD clients cannot be accepted for now', { reason: acceptFailure(errno) });
    },
    (message) => {
      logger.warn(message);
    },
  );
  const supervisor = new Supervisor({
    lane: {
      registration: config.memory.registration,
      pinLimitBytes: config.memory.pin_limit,
      arenaBytes: config.memory.arena_size,
      hugePages: config.memory.huge_pages,
      spinMicroseconds: config.lanes.spin_us,
      requestCapacity: requestCapacityPerLane,
      clientLimits: {
        requests: config.limits.requests,
        bytesInFlight: config.limits.memory,
        handshakeMs: config.limits.handshake_timeout,
        stallMs: config.limits.stall_timeout,
      },
    },
    maximumLanes: availableParallelism(),
    retries: options.retries,
    surroundings: {
      kernelDevices: new DeviceSuccession({
        devices: new KernelDevice(),
        records: new DeviceRecords(`${directory}/devices`),
        inheritance,
        legacy,
        logger,
      }),
      locks: new VolumeLocks({ directory: `${directory}/locks`, inheritance }),
      legacy,
      listeners,
      onClientEnded: () => {
        if (front === 'stdio') ending.end(0, 'the client has gone');
      },
    },
    logger,
    onServing: (volume) => {
      announce(volume, front, logger);
    },
    onFailure: (error) => {
      logger.error(error.message);
      ending.end(1, 'a lane failed');
    },
  });
  const restart = (reason: string): void => {
    if (front === 'configured') ending.restart(reason);
    else logger.warn('not restarted: clients that came with the process would be lost');
  };
  const sampler = new StatisticsSampler(() => supervisor.lanes, systemTimers);
  const control = new ControlServer({
    status: (parameters) => daemonStatus(supervisor, sampler, parameters),
    stats: (parameters) => daemonStats(supervisor, sampler, parameters),
    restart: () => {
      // When the answer is on its way.
      setImmediate(restart, 'iserctl restart');
      return Promise.resolve({});
    },
  });
  const notifier = new ServiceNotifier({
    send: (state) => system.sdNotify(state),
    watchdogMicroseconds: system.watchdogMicroseconds(),
    alive: () => supervisor.alive(),
  });
  notifier.feedWatchdog();
  const uninstall = ending.onSignals(['SIGTERM', 'SIGINT', 'SIGHUP']);
  process.on('SIGUSR2', restart);
  let metrics: MetricsEndpoint | undefined;
  try {
    // First of all: a second daemon with this configuration must not get as far as logging in with the first one's ISIDs.
    if (options.controlSocket !== undefined) {
      await control.listen(options.controlSocket, config.control.group);
    }
    metrics = await openMetrics(config.metrics, supervisor, sampler);
    sampler.start();
    const started = supervisor.start(options.specs).then(async (failures) => {
      if (ending.hasBegun) return;
      // A volume that has failed may be started again and come for its own.
      if (failures.size === 0) inheritance.discard();
      for (const [name, error] of failures)
        logger.error(`volume ${name}: ${error.message}`, { code: codeOf(error) });
      if (failures.size === options.specs.length && !options.retries) {
        ending.end(1, 'no volume could be started');
        return;
      }
      await openFronts(front, supervisor.volumes);
      notifier.ready(
        `serving ${options.specs.length - failures.size} of ${options.specs.length} volumes`,
      );
    });
    const reason = await Promise.race([ending.reached, started.then(() => ending.reached)]);
    logger.info(`stopping: ${reason}`);
  } catch (error) {
    logger.error((error as Error).message, { code: codeOf(error as Error) });
    ending.end(1, 'start failed');
  } finally {
    if (ending.restarts) notifier.reloading(process.hrtime.bigint() / 1000n);
    else notifier.stopping(60_000);
    await control.close();
    await metrics?.close();
    sampler.stop();
    await supervisor.stop(ending.restarts ? StopMode.handOver : StopMode.keepUsed);
    listeners.close();
    uninstall();
  }
  if (ending.restarts) return becomeSuccessor(legacy, logger);
  if (legacy.store(system)) logger.info('the service manager keeps the sockets of devices');
  logger.info('stopped');
  return ending.exitCode;
}

/** Returns only when it is not possible, with the exit code: then the next start re-attaches the devices as after a crash. */
function becomeSuccessor(legacy: Legacy, logger: Logger): number {
  try {
    legacy.execute(system, process.execPath, [
      process.argv0,
      ...process.execArgv,
      ...process.argv.slice(1),
    ]);
  } catch (error) {
    logger.error(`cannot start the successor: ${(error as Error).message}`);
    return 1;
  }
}

/** Clients that came with the process: standard input, or fds passed by a service manager (sd_listen_fds(3)). */
async function openFronts(front: Front, volumes: readonly Volume[]): Promise<void> {
  const [volume] = volumes;
  if (front === 'stdio') await volume.serveClient(system.duplicateFd(0));
  if (front === 'activated') {
    for (const { fd, name, listening } of system.listenFds()) {
      if (isInheritedName(name)) continue;
      if (listening) volume.listen(fd);
      else await volume.serveClient(fd);
    }
  }
}

/** A line on standard output, for people and scripts: what can be used now. */
function announce(volume: Volume, front: Front, logger: Logger): void {
  const { devicePath, spec } = volume;
  const uri =
    spec.socket === undefined ? undefined : `nbd+unix:///${spec.name}?socket=${spec.socket}`;
  logger.info('serving', { volume: spec.name, target: spec.target, device: devicePath, uri });
  if (front === 'stdio') return;
  const parts = [`ready ${spec.name}`];
  if (devicePath !== undefined) parts.push(`device=${devicePath}`);
  if (uri !== undefined) parts.push(`uri=${uri}`);
  for (const place of spec.places)
    if (typeof place === 'object' && 'address' in place)
      parts.push(`tcp=${uriOf(place, spec.name)}`);
  process.stdout.write(`${parts.join(' ')}\n`);
}

/** As NBD clients want it: nbds:// with TLS. */
function uriOf({ address, port, tls }: TcpPlace, name: string): string {
  const host = address.includes(':') ? `[${address}]` : address;
  return `${tls === undefined ? 'nbd' : 'nbds'}://${host}:${port}/${name}`;
}

/** errno of accept(2), in words. */
function acceptFailure(errno: number): string {
  const name = getSystemErrorName(-errno);
  return name === 'EMFILE'
    ? `${name}: no file descriptor is left, raise RLIMIT_NOFILE (LimitNOFILE= in the service, ulimit -n)`
    : name;
}

function codeOf(error: Error): string | undefined {
  return (error as { code?: string }).code;
}

/** The first reason to end wins, and its exit code. */
class Ending {
  exitCode = 0;
  hasBegun = false;
  /** The end of this program, not of the service. */
  restarts = false;
  readonly reached: Promise<string>;
  readonly #reach: (reason: string) => void;

  constructor() {
    const { promise, resolve } = promiseWithResolver<string>();
    this.reached = promise;
    this.#reach = resolve;
  }

  end(exitCode: number, reason: string): void {
    if (this.hasBegun) return;
    this.hasBegun = true;
    this.exitCode = exitCode;
    this.#reach(reason);
  }

  restart(reason: string): void {
    if (!this.hasBegun) this.restarts = true;
    this.end(0, reason);
  }

  onSignals(signals: readonly NodeJS.Signals[]): () => void {
    const listener = (signal: NodeJS.Signals): void => {
      this.end(0, signal);
    };
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  }
}

function promiseWithResolver<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
