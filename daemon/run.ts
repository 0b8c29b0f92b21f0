/** The composition root: builds the daemon's parts, runs them until a signal, and takes them down in order. */
import { availableParallelism } from 'node:os';
import { getSystemErrorName, isDeepStrictEqual } from 'node:util';
import { CodedError } from '../src/errors.ts';
import type { NbdLimits } from '../src/nbd/limits.ts';
import { systemTimers } from '../src/timers.ts';
import { announce } from './announce.ts';
import type { Front } from './cli/serve-config.ts';
import type { Config } from './config/schema.ts';
import type { ReloadResult } from './control/messages.ts';
import { controlMethods } from './control/methods.ts';
import { ControlServer } from './control/server.ts';
import { daemonStats } from './control/stats.ts';
import { daemonStatus } from './control/status.ts';
import { Ending } from './ending.ts';
import { EventHub, type Tell } from './events.ts';
import { KernelDevice } from './device/kernel-device.ts';
import type { LaneSettings } from './lane-pool.ts';
import { LiveConfiguration } from './live-configuration.ts';
import type { Logger } from './logging.ts';
import { LoginGate } from './login-gate.ts';
import type { MetricsEndpoint } from './metrics/endpoint.ts';
import { openMetrics } from './metrics/open.ts';
import { Readiness } from './readiness.ts';
import { summarizeReload } from './reload.ts';
import { DeviceRecords } from './restart/device-records.ts';
import { DeviceSuccession } from './restart/device-succession.ts';
import { Inheritance, isInheritedName, Legacy } from './restart/inheritance.ts';
import { runtimeDirectory } from './restart/runtime-directory.ts';
import { RuntimeVolumes } from './restart/runtime-volumes.ts';
import { VolumeLocks } from './restart/volume-locks.ts';
import { ServiceNotifier } from './service-notifier.ts';
import { SocketListeners } from './socket-listener.ts';
import { StatisticsSampler } from './statistics/sampler.ts';
import { Supervisor } from './supervisor.ts';
import { system } from './system.ts';
import type { Volume } from './volume/volume.ts';
import { StopMode } from './volume/device.ts';
import { forgetSecrets, type ConfigPlan } from './volume/plan.ts';

export interface DaemonOptions {
  readonly plan: ConfigPlan;
  /**
   * Reads the configuration again. With it volumes come and go while the daemon runs, and those that cannot be started are tried again;
   * without it there is one, and the daemon ends when that cannot be started.
   */
  readonly load: (() => ConfigPlan) | undefined;
  readonly logger: Logger;
  readonly front: Front;
  /** Where iserctl finds us; undefined: nowhere. */
  readonly controlSocket: string | undefined;
  /** Called before kernel devices are attached, as often as it happens. */
  readonly beforeAttach: () => void;
}

const requestCapacityPerLane = 4096;
/** Logins that may begin at a time, and how long each counts. */
const loginPlaces = 16;
const loginPatienceMs = 1000;

/**
 * Runs until SIGTERM, SIGINT, the end of an inetd-style client, or a failure; SIGHUP has it read its configuration again, and ends it where
 * there is none (the terminal is gone). Resolves with the exit code. After SIGUSR2 it does not: the process becomes a new iserd with the
 * same command line, which serves the devices on.
 */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const { logger, front, load, plan } = options;
  const { config } = plan;
  const ending = new Ending();
  const events = new EventHub();
  const directory = runtimeDirectory();
  const inheritance = Inheritance.ofThisProcess(system);
  const legacy = new Legacy();
  const listeners = createListeners(config, logger);
  const devices = new DeviceSuccession({
    devices: new KernelDevice(),
    records: new DeviceRecords(`${directory}/devices`),
    inheritance,
    legacy,
    logger,
  });
  const tell: Tell = (event) => {
    events.tell(event);
    if (event.event === 'volume') readiness.volumesChanged();
  };
  const supervisor = new Supervisor({
    lane: laneSettings(config),
    maximumLanes: availableParallelism(),
    retries: load !== undefined,
    surroundings: {
      kernelDevices: {
        attach: (request) => {
          options.beforeAttach();
          return devices.attach(request);
        },
        giveUpExpired: (owner) => devices.giveUpExpired(owner),
        leftBy: (owner, backendPrefix) => devices.leftBy(owner, backendPrefix),
      },
      locks: new VolumeLocks({ directory: `${directory}/locks`, inheritance }),
      legacy,
      listeners,
      logins: new LoginGate({
        places: loginPlaces,
        patienceMs: loginPatienceMs,
        timers: systemTimers,
      }),
      onClientEnded: () => {
        if (front === 'stdio') ending.end(0, 'the client has gone');
      },
      tell,
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
  const notifier = new ServiceNotifier({
    send: (state) => system.sdNotify(state),
    watchdogMicroseconds: system.watchdogMicroseconds(),
    alive: () => supervisor.alive(),
  });
  notifier.feedWatchdog();
  const readiness = new Readiness({
    notifier,
    volumes: () => supervisor.volumes,
    nowMicroseconds: () => process.hrtime.bigint() / 1000n,
    onReady: (status) => {
      tell({ event: 'daemon', change: 'ready', reason: status });
    },
  });
  const live = new LiveConfiguration({
    plan,
    load,
    kept: new RuntimeVolumes(directory, options.controlSocket ?? ''),
    supervisor,
    logger,
    adopt: async (before, after) => {
      if (before.log.level !== after.log.level) logger.level = after.log.level;
      if (isDeepStrictEqual(before.limits, after.limits)) return;
      listeners.maximumClients = after.limits.clients;
      await supervisor.limitClients(clientLimits(after));
    },
  });
  const refuseRestart = (): void => {
    if (front !== 'configured')
      throw new CodedError('restart-refused', 'clients that came with the process would be lost');
    // A successor that cannot read its configuration would leave the devices without a daemon.
    if (load !== undefined) forgetSecrets(load().volumes.map(({ spec }) => spec));
  };
  const onRestartSignal = (signal: NodeJS.Signals): void => {
    try {
      refuseRestart();
      ending.restart(signal);
    } catch (error) {
      logger.error(`not restarted: ${(error as Error).message}`);
    }
  };
  const reload = async (force: boolean): Promise<ReloadResult> => {
    try {
      const result = await readiness.during(() => live.reload(force));
      const { outcome, reason } = summarizeReload(result);
      logger.log(outcome === 'done' ? 'info' : 'warn', `reloaded: ${reason}`);
      tell({ event: 'reload', outcome, reason });
      return result;
    } catch (error) {
      const { message: reason } = error as Error;
      logger.error(`not reloaded, nothing has changed: ${reason}`);
      tell({ event: 'reload', outcome: 'refused', reason });
      throw error;
    }
  };
  const sampler = new StatisticsSampler(() => supervisor.lanes, systemTimers);
  const control = new ControlServer(
    controlMethods({
      status: (parameters) => daemonStatus(supervisor, sampler, parameters),
      stats: (parameters) => daemonStats(supervisor, sampler, parameters),
      refuseRestart,
      restart: () => {
        ending.restart('iserctl restart');
      },
      reload,
      attach: (keys) => live.attach(keys),
      detach: (name, force) => live.detach(name, force),
      logger,
      events,
    }),
  );
  const uninstall = ending.onSignals(['SIGTERM', 'SIGINT']);
  process.on('SIGHUP', () => {
    if (load === undefined) ending.end(0, 'SIGHUP');
    // What is wrong with it is in the log.
    else void reload(false).catch(() => undefined);
  });
  process.on('SIGUSR2', onRestartSignal);
  let metrics: MetricsEndpoint | undefined;
  try {
    // First of all: a second daemon with this configuration must not get as far as logging in with the first one's ISIDs.
    if (options.controlSocket !== undefined) {
      await control.listen(options.controlSocket, config.control.group);
    }
    metrics = await openMetrics(config.metrics, supervisor, sampler);
    sampler.start();
    readiness.starting();
    const specs = live.initialSpecs();
    if (specs.some(({ device }) => device !== undefined)) options.beforeAttach();
    const started = supervisor.start(specs).then(async (failures) => {
      if (ending.hasBegun) return;
      // A volume that has failed may be started again and come for its own.
      if (failures.size === 0) inheritance.discard();
      for (const [name, error] of failures)
        logger.error(`volume ${name}: ${error.message}`, { code: codeOf(error) });
      if (failures.size === specs.length && load === undefined) {
        ending.end(1, 'no volume could be started');
        return;
      }
      await openFronts(front, supervisor.volumes);
      readiness.attempted();
    });
    const reason = await Promise.race([ending.reached, started.then(() => ending.reached)]);
    logger.info(`stopping: ${reason}`);
    tell({ event: 'daemon', change: ending.restarts ? 'restarting' : 'stopping', reason });
  } catch (error) {
    logger.error((error as Error).message, { code: codeOf(error as Error) });
    ending.end(1, 'start failed');
  } finally {
    readiness.ending();
    if (ending.restarts) notifier.reloading(process.hrtime.bigint() / 1000n);
    else notifier.stopping();
    await control.close();
    await metrics?.close();
    sampler.stop();
    await supervisor.stop(ending.restarts ? StopMode.handOver : StopMode.keepUsed);
    listeners.close();
    live.close();
    uninstall();
    notifier.endExtension();
  }
  if (ending.restarts) return becomeSuccessor(legacy, logger);
  if (legacy.store(system)) logger.info('the service manager keeps the sockets of devices');
  logger.info('stopped');
  return ending.exitCode;
}

function createListeners({ limits }: Config, logger: Logger): SocketListeners {
  return new SocketListeners(
    limits.clients,
    (errno) => {
      logger.warn('NBD clients cannot be accepted for now', { reason: acceptFailure(errno) });
    },
    (message) => {
      logger.warn(message);
    },
  );
}

function laneSettings(config: Config): LaneSettings {
  const { memory, lanes } = config;
  return {
    registration: memory.registration,
    pinLimitBytes: memory.pin_limit,
    arenaBytes: memory.arena_size,
    hugePages: memory.huge_pages,
    spinMicroseconds: lanes.spin_us,
    requestCapacity: requestCapacityPerLane,
    clientLimits: clientLimits(config),
  };
}

function clientLimits({ limits }: Config): Partial<NbdLimits> {
  return {
    requests: limits.requests,
    bytesInFlight: limits.memory,
    handshakeMs: limits.handshake_timeout,
    stallMs: limits.stall_timeout,
  };
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
