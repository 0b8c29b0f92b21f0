/** What the commands of iserctl have in common: their shape, and options that several of them take. */
import type { Argv, ArgumentsCamelCase, CommandModule } from 'yargs';
import { digests } from '../config/schema.ts';

export interface CommandDefinition<Options> {
  /** As in "inspect <url>". */
  readonly command: string;
  readonly describe: string;
  readonly builder: (builder: Argv) => Argv<Options>;
  /** Rejects with a ConfigurationError for bad usage (exit code 2), with anything else for what could not be done (1). */
  readonly handler: (options: ArgumentsCamelCase<Options>) => Promise<void>;
}

/** A command of iserctl, whose handler gets what its builder declares. */
export function defineCommand<Options>(
  definition: CommandDefinition<Options>,
): CommandModule<object, Options> {
  return definition;
}

export const controlSocketOption = {
  socket: {
    type: 'string',
    default: '/run/iserd/control.sock',
    describe: "the daemon's control socket",
  },
} as const;

export const jsonOption = {
  json: { type: 'boolean', default: false, describe: 'print JSON' },
} as const;

export const watchOption = {
  watch: { type: 'boolean', default: false, describe: 'show it again every second' },
} as const;

/** The positional "url" of a logical unit. */
export const unitUrl = {
  type: 'string',
  demandOption: true,
  describe: 'iser://[user@]host[:port]/iqn/lun, or iscsi://',
} as const;

/** Of commands that log in themselves. */
export const initiatorOptions = {
  'initiator-name': { type: 'string', requiresArg: true, describe: 'our iSCSI name' },
  'chap-secret-file': {
    type: 'string',
    requiresArg: true,
    describe: "file with the URL user's CHAP secret (mode 0600)",
  },
} as const;

export const digestOptions = {
  'header-digest': { choices: digests, default: 'none' as const, describe: 'TCP only' },
  'data-digest': { choices: digests, default: 'none' as const, describe: 'TCP only' },
} as const;
