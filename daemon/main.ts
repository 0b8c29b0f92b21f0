import { fstatSync } from 'node:fs';
import { hideBin } from 'yargs/helpers';
import { parseDaemonArguments } from './cli/daemon-arguments.ts';
import { readConfig } from './config/load.ts';
import { ConfigurationError } from '../src/errors.ts';
import { withoutSecrets } from '../src/iscsi/url.ts';
import { holdMemory } from './launcher.ts';
import { runDaemon, type DaemonOptions } from './run.ts';
import { serveConfig } from './cli/serve-config.ts';
import { createLogger, type Logger } from './logging.ts';
import { system } from './system.ts';
import { planConfig, type ConfigPlan } from './volume/plan.ts';

/**
 * Runs `iserd` to its end and sets the process's exit code: 0 stopped as asked; 1 failed while running or starting; 2 the configuration
 * or command line cannot be used. `ioFlusher` says why the process's threads are no I/O flushers, '' if they are or need not be.
 */
export async function main(ioFlusher: string): Promise<void> {
  // A log reader that goes away (journald restarting, a closed pipe) must not end the daemon.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  try {
    const options = await daemonOptions(ioFlusher);
    process.exitCode = options === undefined ? 0 : await serve(options);
  } catch (error) {
    process.stderr.write(`iserd: ${withoutSecrets((error as Error).message)}\n`);
    process.exitCode = error instanceof ConfigurationError ? 2 : 1;
  }
}

async function serve(options: DaemonOptions): Promise<number> {
  try {
    return await runDaemon(options);
  } finally {
    // V8 gives its memory back at the end, and ends the process when the kernel refuses some of it for being locked.
    system.unlockMemory();
  }
}

/** A daemon with a device keeps its memory; said once, what keeps it from that. */
function holdMemoryOnce(ioFlusher: string, logger: Logger): () => void {
  let held = false;
  return () => {
    if (held) return;
    held = true;
    const weaknesses = holdMemory();
    if (ioFlusher !== '') weaknesses.unshift(`threads are no I/O flushers: ${ioFlusher}`);
    // In one line: it is one state of affairs, and the cure is one as well.
    if (weaknesses.length > 0)
      logger.warn(`the device may hang when memory runs out: ${weaknesses.join('; ')}`);
  };
}

/** From command line and configuration; undefined when help was all that was wanted. */
async function daemonOptions(ioFlusher: string): Promise<DaemonOptions | undefined> {
  const command = await parseDaemonArguments(hideBin(process.argv));
  if (command === undefined) return undefined;
  if (command.kind === 'serve') {
    const { config, spec, warnings, front } = serveConfig(command);
    if (front === 'stdio' && !fstatSync(0).isSocket())
      throw new ConfigurationError('stdio-no-socket', '--stdio: standard input is no socket');
    const logger = createLogger(config.log.level);
    for (const warning of warnings) logger.warn(warning);
    return {
      plan: { config, volumes: [{ config: config.volume[0], spec }] },
      load: undefined,
      logger,
      front,
      controlSocket: command.controlSocket,
      beforeAttach: holdMemoryOnce(ioFlusher, logger),
    };
  }
  const load = (): ConfigPlan => planConfig(readConfig(command.config));
  const plan = load();
  const logger = createLogger(plan.config.log.level);
  return {
    plan,
    load,
    logger,
    front: 'configured',
    controlSocket: plan.config.control.socket,
    beforeAttach: holdMemoryOnce(ioFlusher, logger),
  };
}
