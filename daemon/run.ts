/** The composition root: builds the daemon's parts, runs them until a signal, and takes them down in order. */
import { availableParallelism } from 'node:os';
import type { Config } from './config/schema.ts';
import type { Front } from './cli/serve-config.ts';
import { ControlServer } from './control/server.ts';
import { daemonStatus } from './control/status.ts';
import { KernelDevice } from './kernel-device.ts';
import type { Logger } from './logging.ts';
import { ServiceNotifier } from './service-notifier.ts';
import { SocketListeners } from './socket-listener.ts';
import { Supervisor } from './supervisor.ts';
import { system } from './system.ts';
import type { Volume } from './volume.ts';
import type { VolumeSpec } from './volume-spec.ts';

export interface DaemonOptions {
  readonly config: Config;
  readonly specs: readonly VolumeSpec[];
  readonly logger: Logger;
  readonly front: Front;
  /** Where iserctl finds us; undefined: nowhere. */
  readonly controlSocket: string | undefined;
}

const requestCapacityPerLane = 4096;

/** Runs until SIGTERM, SIGINT, SIGHUP (the terminal is gone), the end of an inetd-style client, or a failure. Resolves with the exit code. */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  const { config, logger, front } = options;
  const ending = new Ending();
  const listeners = new SocketListeners();
  const supervisor = new Supervisor({
    lane: {
      registration: config.memory.registration,
      pinLimitBytes: config.memory.pin_limit,
      arenaBytes: config.memory.arena_size,
      hugePages: config.memory.huge_pages,
      spinMicroseconds: 0,
      requestCapacity: requestCapacityPerLane,
    },
    maximumLanes: availableParallelism(),
    surroundings: {
      kernelDevices: new KernelDevice(),
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
  const control = new ControlServer({ status: () => daemonStatus(supervisor) });
  const notifier = new ServiceNotifier({
    send: (state) => system.sdNotify(state),
    watchdogMicroseconds: system.watchdogMicroseconds(),
    alive: () => supervisor.alive(),
  });
  const uninstall = ending.onSignals(['SIGTERM', 'SIGINT', 'SIGHUP']);
  try {
    // First of all: a second daemon with this configuration must not get as far as logging in with the first one's ISIDs.
    if (options.controlSocket !== undefined) await control.listen(options.controlSocket);
    const started = supervisor.start(options.specs).then(async (failures) => {
      if (ending.hasBegun) return;
      for (const [name, error] of failures)
        logger.error(`volume ${name}: ${error.message}`, { code: codeOf(error) });
      if (failures.size === options.specs.length) {
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
    notifier.stopping(60_000);
    await control.close();
    await supervisor.stop();
    listeners.close();
    uninstall();
  }
  logger.info('stopped');
  return ending.exitCode;
}

/** Clients that came with the process: standard input, or fds passed by a service manager (sd_listen_fds(3)). */
async function openFronts(front: Front, volumes: readonly Volume[]): Promise<void> {
  const [volume] = volumes;
  if (front === 'stdio') await volume.serveClient(system.duplicateFd(0));
  if (front === 'activated') {
    for (const { fd, listening } of system.listenFds()) {
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
  process.stdout.write(`${parts.join(' ')}\n`);
}

function codeOf(error: Error): string | undefined {
  return (error as { code?: string }).code;
}

/** The first reason to end wins, and its exit code. */
class Ending {
  exitCode = 0;
  hasBegun = false;
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
