#!/usr/bin/env node
import { fstatSync } from 'node:fs';
import { hideBin } from 'yargs/helpers';
import { parseDaemonArguments } from './cli/daemon-arguments.ts';
import { loadConfig } from './config/load.ts';
import { ConfigurationError } from '../src/errors.ts';
import { runDaemon } from './run.ts';
import { serveConfig } from './cli/serve-config.ts';
import { volumeSpecs } from './volume-spec.ts';
import { createLogger } from './logging.ts';

/** Exit codes: 0 stopped as asked; 1 failed while running or starting; 2 the configuration or command line cannot be used. */
async function main(): Promise<number> {
  const command = await parseDaemonArguments(hideBin(process.argv));
  if (command === undefined) return 0;
  if (command.kind === 'serve') {
    const { config, spec, warnings, front } = serveConfig(command);
    if (front === 'stdio' && !fstatSync(0).isSocket())
      throw new ConfigurationError('stdio-no-socket', '--stdio: standard input is no socket');
    const logger = createLogger(config.log.level);
    for (const warning of warnings) logger.warn(warning);
    return runDaemon({
      config,
      specs: [spec],
      logger,
      front,
      controlSocket: command.controlSocket,
    });
  }
  const config = loadConfig(command.config);
  const specs = volumeSpecs(config);
  if (specs.length === 0)
    throw new ConfigurationError('no-volumes', `${command.config}: no [[volume]] in it`);
  const logger = createLogger(config.log.level);
  return runDaemon({
    config,
    specs,
    logger,
    front: 'configured',
    controlSocket: config.control.socket,
  });
}

// A log reader that goes away (journald restarting, a closed pipe) must not end the daemon.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`iserd: ${(error as Error).message}\n`);
  process.exitCode = error instanceof ConfigurationError ? 2 : 1;
}
