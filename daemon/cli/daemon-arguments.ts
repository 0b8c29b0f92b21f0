import yargs from 'yargs';
import { ConfigurationError } from '../../src/errors.ts';
import { withoutSecrets } from '../../src/iscsi/url.ts';
import { strategyNames, type StrategyName } from '../../src/memory/registration-strategies.ts';
import { defaultSpinMicroseconds, digests, logLevels, socketModes } from '../config/schema.ts';
import { iserdVersion } from '../version.ts';
import { unitUrl } from './options.ts';

export interface ServeCommand {
  readonly kind: 'serve';
  readonly url: string;
  /** More portals of the same target. */
  readonly portals: readonly string[];
  readonly socket: string | undefined;
  readonly socketMode: (typeof socketModes)[number] | undefined;
  readonly socketGroup: string | undefined;
  readonly listen: string | undefined;
  readonly tlsCertificate: string | undefined;
  readonly tlsKey: string | undefined;
  readonly tlsClientCa: string | undefined;
  readonly device: string | undefined;
  readonly stdio: boolean;
  /** Seconds. */
  readonly deadConnTimeout: number;
  readonly force: boolean;
  readonly readOnly: boolean;
  readonly lanes: number;
  readonly registration: StrategyName;
  readonly initiatorName: string | undefined;
  readonly pinLimit: string;
  readonly spinUs: number;
  readonly chapSecretFile: string | undefined;
  readonly mutualChapUser: string | undefined;
  readonly mutualChapSecretFile: string | undefined;
  readonly headerDigest: string;
  readonly dataDigest: string;
  /** Seconds. */
  readonly replacementTimeout: number;
  /** Seconds. */
  readonly loginTimeout: number;
  readonly controlSocket: string | undefined;
  readonly logLevel: (typeof logLevels)[number];
}

export interface ConfigCommand {
  readonly kind: 'config';
  readonly config: string;
}

/** Parses iserd's command line. Prints help, version or usage errors itself (exit code 2) and then gives undefined. */
export async function parseDaemonArguments(
  argv: readonly string[],
): Promise<ServeCommand | ConfigCommand | undefined> {
  let command: ServeCommand | ConfigCommand | undefined;
  await yargs(argv)
    .scriptName('iserd')
    .usage(
      '$0 serve URL [options]   one LUN in the foreground\n$0 --config FILE         the volumes of a configuration file',
    )
    .option('config', { type: 'string', describe: 'configuration file (TOML)', requiresArg: true })
    .command(
      'serve <url>',
      'serve one LUN until SIGTERM or SIGINT',
      (builder) =>
        builder
          .positional('url', unitUrl)
          .option('portal', {
            type: 'string',
            array: true,
            nargs: 1,
            default: [],
            describe: 'another portal of the target, host[:port]; may be repeated',
          })
          .option('socket', {
            type: 'string',
            requiresArg: true,
            describe: 'listen for NBD clients on this Unix path',
          })
          .option('socket-mode', { choices: socketModes, describe: 'of its file; default 0600' })
          .option('socket-group', {
            type: 'string',
            requiresArg: true,
            describe: 'whose members may use it, too (mode 0660)',
          })
          .option('listen', {
            type: 'string',
            requiresArg: true,
            describe: 'listen for NBD clients on ADDRESS:PORT: loopback, or with TLS',
          })
          .option('tls-certificate', { type: 'string', requiresArg: true, describe: 'PEM, ours' })
          .option('tls-key', {
            type: 'string',
            requiresArg: true,
            describe: 'PEM, its private key (mode 0600)',
          })
          .option('tls-client-ca', {
            type: 'string',
            requiresArg: true,
            describe: 'PEM, signer of the certificates that clients must have',
          })
          .option('device', {
            type: 'string',
            requiresArg: true,
            describe: 'attach a kernel device: auto or /dev/nbdN',
          })
          .option('dead-conn-timeout', {
            type: 'number',
            default: 86_400,
            describe: 'seconds that I/O of the device waits for the next iserd',
          })
          .option('force', {
            type: 'boolean',
            default: false,
            describe: 'detach the device at the end even while it is in use (I/O errors)',
          })
          .option('stdio', {
            type: 'boolean',
            default: false,
            describe: 'serve the one client on standard input (inetd style)',
          })
          .option('read-only', { type: 'boolean', default: false, describe: 'refuse writes' })
          .option('lanes', {
            type: 'number',
            default: 1,
            describe: 'sessions, each on a thread of its own',
          })
          .option('registration', {
            choices: strategyNames,
            default: 'cache' as const,
            describe: 'how buffers are registered for RDMA',
          })
          .option('initiator-name', {
            type: 'string',
            requiresArg: true,
            describe: 'our iSCSI name',
          })
          .option('pin-limit', {
            type: 'string',
            default: '256MiB',
            describe: 'most memory that registrations pin',
          })
          .option('spin-us', {
            type: 'number',
            default: defaultSpinMicroseconds,
            describe: 'microseconds that a lane polls before it sleeps',
          })
          .option('chap-secret-file', {
            type: 'string',
            requiresArg: true,
            describe: "file with the URL user's CHAP secret (mode 0600)",
          })
          .option('mutual-chap-user', {
            type: 'string',
            requiresArg: true,
            describe: 'the target must prove to be this user',
          })
          .option('mutual-chap-secret-file', {
            type: 'string',
            requiresArg: true,
            describe: 'with this secret',
          })
          .option('header-digest', { choices: digests, default: 'none', describe: 'TCP only' })
          .option('data-digest', { choices: digests, default: 'none', describe: 'TCP only' })
          .option('replacement-timeout', {
            type: 'number',
            default: 120,
            describe: 'seconds to wait for a lost target before EIO; -1 for ever',
          })
          .option('login-timeout', {
            type: 'number',
            default: 20,
            describe: 'seconds that one login may take; the first is tried for twice as long',
          })
          .option('control-socket', {
            type: 'string',
            requiresArg: true,
            describe: 'answer iserctl on this Unix path',
          })
          .option('log-level', {
            choices: logLevels,
            default: 'info' as const,
            describe: 'least severe level logged',
          })
          .example(
            '$0 serve iser://10.0.0.5/iqn.2026-11.org.example:disk/0 --device auto',
            'as a kernel device',
          )
          .example(
            '$0 serve iscsi://10.0.0.5/iqn.2026-11.org.example:disk/0 --socket /run/disk.sock',
            'for QEMU or nbdcopy',
          ),
      (parsed) => {
        command = {
          kind: 'serve',
          url: parsed.url,
          portals: parsed.portal,
          socket: parsed.socket,
          socketMode: parsed['socket-mode'],
          socketGroup: parsed['socket-group'],
          listen: parsed.listen,
          tlsCertificate: parsed['tls-certificate'],
          tlsKey: parsed['tls-key'],
          tlsClientCa: parsed['tls-client-ca'],
          device: parsed.device,
          deadConnTimeout: parsed['dead-conn-timeout'],
          force: parsed.force,
          stdio: parsed.stdio,
          readOnly: parsed['read-only'],
          lanes: parsed.lanes,
          registration: parsed.registration,
          initiatorName: parsed['initiator-name'],
          pinLimit: parsed['pin-limit'],
          spinUs: parsed['spin-us'],
          chapSecretFile: parsed['chap-secret-file'],
          mutualChapUser: parsed['mutual-chap-user'],
          mutualChapSecretFile: parsed['mutual-chap-secret-file'],
          headerDigest: parsed['header-digest'],
          dataDigest: parsed['data-digest'],
          replacementTimeout: parsed['replacement-timeout'],
          loginTimeout: parsed['login-timeout'],
          controlSocket: parsed['control-socket'],
          logLevel: parsed['log-level'],
        };
      },
    )
    .command(
      '$0',
      false,
      (builder) => builder,
      (parsed) => {
        if (parsed.config === undefined)
          throw new UsageError('either `serve URL` or `--config FILE` is needed; see --help');
        command = { kind: 'config', config: parsed.config };
      },
    )
    .example('$0 --config /etc/iserd/iserd.toml', 'every volume of a file')
    .example('$0 serve iser://10.0.0.5/iqn.2026-11.org.example:disk/0 --device auto', 'one LUN')
    .strict()
    .version(iserdVersion())
    .help()
    .exitProcess(false)
    .fail(usageFailure)
    .parseAsync();
  return command;
}

/** What yargs calls on failure: with a message when the command line is wrong, without one when a command has failed. */
export function usageFailure(message: string | null, error: Error | undefined): never {
  if (error !== undefined && (message ?? '') === '') throw error;
  // yargs puts details on lines of their own.
  throw new UsageError(withoutSecrets(message ?? 'bad usage').replace(/\s*\n\s*/g, ' '));
}

/** The command line cannot be used: one line on standard error and exit code 2. */
export class UsageError extends ConfigurationError {
  constructor(message: string) {
    super('usage', message);
  }
}
