#!/usr/bin/env node
import yargs from 'yargs';
import { hideBin } from 'yargs/helpers';
import { usageFailure } from './cli/daemon-arguments.ts';
import { detachDevice } from './cli/detach.ts';
import { printDiscovery } from './cli/discover.ts';
import { printInspection } from './cli/inspect.ts';
import { restartDaemon } from './cli/restart.ts';
import { printStatus } from './cli/status.ts';
import { ConfigurationError } from '../src/errors.ts';
import { withoutSecrets } from '../src/iscsi/url.ts';
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
    .command(
      'restart',
      'let a running daemon become a new one (after an upgrade, or for a new configuration); I/O waits meanwhile',
      (builder) =>
        builder
          .option('socket', {
            type: 'string',
            default: '/run/iserd/control.sock',
            describe: "the daemon's control socket",
          })
          .example('$0 restart', 'mounted devices stay mounted'),
      (options) => restartDaemon(options),
    )
    .command(
      'detach <device>',
      'give up a kernel device that has been left without a daemon',
      (builder) =>
        builder
          .positional('device', { type: 'string', demandOption: true, describe: '/dev/nbdN' })
          .option('force', {
            type: 'boolean',
            default: false,
            describe: 'even while it is in use or served: its I/O ends with errors',
          })
          .example('$0 detach --force /dev/nbd0', 'end the wait of processes for a lost device'),
      (options) => detachDevice(options),
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
  process.stderr.write(`iserctl: ${withoutSecrets((error as Error).message)}\n`);
  process.exitCode = error instanceof ConfigurationError ? 2 : 1;
}
