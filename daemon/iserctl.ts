#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { withAdvice } from './cli/advice.ts';
import { attachCommand } from './cli/attach.ts';
import { benchCommand } from './cli/bench/bench.ts';
import { checkConfigCommand } from './cli/check-config.ts';
import { usageFailure } from './cli/daemon-arguments.ts';
import { detachCommand } from './cli/detach.ts';
import { discoverCommand } from './cli/discover.ts';
import { doctorCommand } from './cli/doctor.ts';
import { eventsCommand } from './cli/events.ts';
import { inspectCommand } from './cli/inspect.ts';
import { logLevelCommand } from './cli/log-level.ts';
import { reloadCommand } from './cli/reload.ts';
import { restartCommand } from './cli/restart.ts';
import { statsCommand } from './cli/stats.ts';
import { statusCommand } from './cli/status.ts';
import { ConfigurationError } from '../src/errors.ts';
import { withoutSecrets } from '../src/iscsi/url.ts';
import { iserdVersion } from './version.ts';

/** Exit codes: 0 done; 1 the target or daemon said no, or cannot be reached; 2 bad usage. */
async function main(): Promise<void> {
  await yargs(hideBin(process.argv))
    .scriptName('iserctl')
    .usage('$0 COMMAND')
    .command(statusCommand)
    .command(statsCommand)
    .command(eventsCommand)
    .command(attachCommand)
    .command(detachCommand)
    .command(reloadCommand)
    .command(restartCommand)
    .command(logLevelCommand)
    .command(checkConfigCommand)
    .command(discoverCommand)
    .command(inspectCommand)
    .command(doctorCommand)
    .command(benchCommand)
    .example('$0 status', 'what the daemon is doing')
    .example('$0 discover iser://10.0.0.5', 'targets of a portal')
    .demandCommand(1, 'which command? see --help')
    .strict()
    .version(iserdVersion())
    .help()
    .exitProcess(false)
    .fail(usageFailure)
    .parseAsync();
}

try {
  await main();
} catch (error) {
  process.stderr.write(`iserctl: ${withoutSecrets(withAdvice(error as Error))}\n`);
  process.exitCode = error instanceof ConfigurationError ? 2 : 1;
}
