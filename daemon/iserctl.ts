#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { usageFailure } from './cli/daemon-arguments.ts';
import { printDiscovery } from './cli/discover.ts';
import { printInspection } from './cli/inspect.ts';
import { printStatus } from './cli/status.ts';
import { ConfigurationError } from '../src/errors.ts';
import { digests } from './config/schema.ts';

/** Exit codes: 0 done; 1 the target or daemon said no, or cannot be reached; 2 bad usage. */
const initiatorOption = {
  'initiator-name': { type: 'string', requiresArg: true, describe: 'our iSCSI name' },
  'chap-secret-file': {
    type: 'string',
    requiresArg: true,
    describe: "file with the URL user's CHAP secret (mode 0600)",
  },
  json: { type: 'boolean', default: false, describe: 'print JSON' },
} as const;

const digestOption = {
  'header-digest': { choices: digests, default: 'none' as const, describe: 'TCP only' },
  'data-digest': { choices: digests, default: 'none' as const, describe: 'TCP only' },
} as const;

async function main(): Promise<void> {
  await yargs(hideBin(process.argv))
    .scriptName('iserctl')
    .usage('$0 COMMAND')
    .command(
      'discover <url>',
      'list the targets that a portal offers',
      (builder) =>
        builder
          .positional('url', {
            type: 'string',
            demandOption: true,
            describe: 'iser://host[:port] or iscsi://host[:port]',
          })
          .options(initiatorOption)
          .example('$0 discover iser://10.0.0.5', 'targets and portals, over RDMA'),
      (options) => printDiscovery(options),
    )
    .command(
      'inspect <url>',
      'log in to one LUN and show what it is and can do',
      (builder) =>
        builder
          .positional('url', {
            type: 'string',
            demandOption: true,
            describe: 'iser://host[:port]/iqn/lun or iscsi://…',
          })
          .options({ ...initiatorOption, ...digestOption })
          .example(
            '$0 inspect iscsi://10.0.0.5/iqn.2026-11.org.example:disk/0',
            'identity, sizes, limits, negotiated keys',
          ),
      (options) => printInspection(options),
    )
    .command(
      'status',
      'what a running daemon is doing',
      (builder) =>
        builder
          .option('socket', {
            type: 'string',
            default: '/run/iserd/control.sock',
            describe: "the daemon's control socket",
          })
          .option('json', { type: 'boolean', default: false, describe: 'print JSON' })
          .example('$0 status', 'volumes, devices, sessions')
          .example('$0 status --json', 'the same for scripts'),
      (options) => printStatus(options),
    )
    .example('$0 status', 'what the daemon is doing')
    .example('$0 discover iser://10.0.0.5', 'targets of a portal')
    .demandCommand(1, 'which command? see --help')
    .strict()
    .help()
    .exitProcess(false)
    .fail(usageFailure)
    .parseAsync();
}

try {
  await main();
} catch (error) {
  process.stderr.write(`iserctl: ${(error as Error).message}\n`);
  process.exitCode = error instanceof ConfigurationError ? 2 : 1;
}
