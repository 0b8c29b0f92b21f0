/** `iserd serve URL …` as a configuration with one volume: one set of rules checks both. */
import { ConfigurationError } from '../../src/errors.ts';
import { formatTargetUrl, parseTargetUrl } from '../../src/iscsi/url.ts';
import { configSchema, type Config } from '../config/schema.ts';
import { readSecretFile } from '../config/secret-file.ts';
import type { ChapAccount } from '../lane/messages.ts';
import { defaultInitiatorName, makeVolumeSpec, type VolumeSpec } from '../volume-spec.ts';
import type { ServeCommand } from './daemon-arguments.ts';

/** Where NBD clients come from. */
export type Front = 'configured' | 'stdio' | 'activated';

export interface ServeConfig {
  readonly config: Config;
  readonly spec: VolumeSpec;
  readonly warnings: readonly string[];
  readonly front: Front;
}

/** Throws ConfigurationError naming the option. Environment: LISTEN_FDS (socket activation), XDG_RUNTIME_DIR. */
export function serveConfig(
  command: ServeCommand,
  environment: NodeJS.ProcessEnv = process.env,
): ServeConfig {
  const activated =
    environment['LISTEN_FDS'] !== undefined && environment['LISTEN_PID'] === String(process.pid);
  const front: Front = command.stdio ? 'stdio' : activated ? 'activated' : 'configured';
  const url = parseTargetUrl(command.url);
  const warnings: string[] = [];
  if (url.secret !== undefined) {
    warnings.push(
      'the CHAP secret on the command line can be read by every user of this machine; use --chap-secret-file',
    );
  }
  const socket =
    command.socket ??
    (command.device === undefined
      ? `${environment['XDG_RUNTIME_DIR'] ?? '/run'}/iserd-${process.pid}.sock`
      : undefined);
  const result = configSchema.safeParse({
    initiator: command.initiatorName === undefined ? {} : { name: command.initiatorName },
    memory: { registration: command.registration, pin_limit: command.pinLimit },
    log: { level: command.logLevel },
    volume: [
      {
        name: 'serve',
        url: formatTargetUrl(url),
        device: command.device ?? 'none',
        ...(socket === undefined ? {} : { socket }),
        lanes: command.lanes,
        read_only: command.readOnly,
        header_digest: command.headerDigest,
        data_digest: command.dataDigest,
        replacement_timeout: command.replacementTimeout,
        login_timeout: command.loginTimeout,
      },
    ],
  });
  if (!result.success) {
    const problems = result.error.issues.map(
      (issue) => `${optionOf(issue.path)}: ${issue.message}`,
    );
    throw new ConfigurationError('serve-invalid', problems.join('\n'));
  }
  const config = result.data;
  const spec = makeVolumeSpec({
    initiatorName: config.initiator.name ?? defaultInitiatorName(),
    volume: config.volume[0],
    chap: chapAccount(command, url.user, url.secret),
    mutualChap: mutualAccount(command),
    stableIsid: false,
  });
  return {
    config,
    spec: front === 'configured' ? spec : { ...spec, socket: undefined },
    warnings,
    front,
  };
}

function chapAccount(
  command: ServeCommand,
  user: string | undefined,
  secret: string | undefined,
): ChapAccount | undefined {
  if (command.chapSecretFile !== undefined) {
    if (user === undefined)
      throw new ConfigurationError('chap-user', '--chap-secret-file needs a user in the URL');
    return { user, secret: readSecretFile(command.chapSecretFile) };
  }
  if (user === undefined) return undefined;
  if (secret === undefined)
    throw new ConfigurationError(
      'chap-secret',
      `no secret for user "${user}": use --chap-secret-file`,
    );
  return { user, secret: new TextEncoder().encode(secret) };
}

function mutualAccount(command: ServeCommand): ChapAccount | undefined {
  if (command.mutualChapUser === undefined && command.mutualChapSecretFile === undefined)
    return undefined;
  if (command.mutualChapUser === undefined || command.mutualChapSecretFile === undefined) {
    throw new ConfigurationError(
      'mutual-chap',
      '--mutual-chap-user and --mutual-chap-secret-file belong together',
    );
  }
  return { user: command.mutualChapUser, secret: readSecretFile(command.mutualChapSecretFile) };
}

function optionOf(path: readonly PropertyKey[]): string {
  const names: Readonly<Record<string, string>> = {
    name: '--initiator-name',
    pin_limit: '--pin-limit',
    url: 'URL',
  };
  const key = String(path.at(-1));
  return names[key] ?? `--${key.replaceAll('_', '-')}`;
}
