#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { usageFailure } from './cli/daemon-arguments.ts';
import { benchCommand } from './cli/bench.ts';
import { detachCommand } from './cli/detach.ts';
import { discoverCommand } from './cli/discover.ts';
import { doctorCommand } from './cli/doctor.ts';
import { inspectCommand } from './cli/inspect.ts';
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
    .command(restartCommand)
    .command(detachCommand)
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
  process.stderr.write(`iserctl: ${withoutSecrets((error as Error).message)}\n`);
  process.exitCode = error instanceof ConfigurationError ? 2 : 1;
}
