import { fstatSync } from 'node:fs';
import { hideBin } from 'yargs/helpers';
import { parseDaemonArguments } from './cli/daemon-arguments.ts';
import { loadConfig } from './config/load.ts';
import { forget } from './config/secret.ts';
import { ConfigurationError } from '../src/errors.ts';
import { withoutSecrets } from '../src/iscsi/url.ts';
import { holdMemory } from './launcher.ts';
import { runDaemon, type DaemonOptions } from './run.ts';
import { serveConfig } from './cli/serve-config.ts';
import { system } from './system.ts';
import { volumeSpecs } from './volume-spec.ts';
import { createLogger } from './logging.ts';

/**
 * Runs `iserd` to its end and sets the process's exit code: 0 stopped as asked; 1 failed while running or starting; 2 the configuration
 * or command line cannot be used. `ioFlusher` says why the process's threads are no I/O flushers, '' if they are or need not be.
 */
export async function main(ioFlusher: string): Promise<void> {
  // A log reader that goes away (journald restarting, a closed pipe) must not end the daemon.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  try {
    const options = await daemonOptions();
    process.exitCode = options === undefined ? 0 : await serve(options, ioFlusher);
  } catch (error) {
    process.stderr.write(`iserd: ${withoutSecrets((error as Error).message)}\n`);
    process.exitCode = error instanceof ConfigurationError ? 2 : 1;
  }
}

async function serve(options: DaemonOptions, ioFlusher: string): Promise<number> {
  const { specs, logger } = options;
  if (specs.some(({ device }) => device !== undefined)) {
    const weaknesses = holdMemory();
    if (ioFlusher !== '') weaknesses.unshift(`threads are no I/O flushers: ${ioFlusher}`);
    // In one line: it is one state of affairs, and the cure is one as well.
    if (weaknesses.length > 0)
      logger.warn(`the device may hang when memory runs out: ${weaknesses.join('; ')}`);
  }
  try {
    return await runDaemon(options);
  } finally {
    // V8 gives its memory back at the end, and ends the process when the kernel refuses some of it for being locked.
    system.unlockMemory();
    for (const { chap, mutualChap } of specs.flatMap(({ sessions }) => sessions))
      forget(chap?.secret, mutualChap?.secret);
  }
}

/** From command line and configuration; undefined when help was all that was wanted. */
async function daemonOptions(): Promise<DaemonOptions | undefined> {
  const command = await parseDaemonArguments(hideBin(process.argv));
  if (command === undefined) return undefined;
  if (command.kind === 'serve') {
    const { config, spec, warnings, front } = serveConfig(command);
    if (front === 'stdio' && !fstatSync(0).isSocket())
      throw new ConfigurationError('stdio-no-socket', '--stdio: standard input is no socket');
    const logger = createLogger(config.log.level);
    for (const warning of warnings) logger.warn(warning);
    return {
      config,
      specs: [spec],
      logger,
      front,
      retries: false,
      controlSocket: command.controlSocket,
    };
  }
  const config = loadConfig(command.config);
  const specs = volumeSpecs(config);
  if (specs.length === 0)
    throw new ConfigurationError('no-volumes', `${command.config}: no [[volume]] in it`);
  return {
    config,
    specs,
    logger: createLogger(config.log.level),
    front: 'configured',
    retries: true,
    controlSocket: config.control.socket,
  };
}
