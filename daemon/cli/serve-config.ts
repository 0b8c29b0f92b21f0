/** `iserd serve URL …` as a configuration with one volume: one set of rules checks both. */
import { resolve } from 'node:path';
import { ConfigurationError } from '../../src/errors.ts';
import { formatTargetUrl, parseTargetUrl } from '../../src/iscsi/url.ts';
import { configSchema, type Config } from '../config/schema.ts';
import { keepSecret } from '../config/secret.ts';
import { readSecretFile } from '../config/secret-file.ts';
import type { ChapAccount } from '../lane/messages.ts';
import { isInheritedName } from '../restart/inheritance.ts';
import { defaultInitiatorName, makeVolumeSpec, type VolumeSpec } from '../volume/spec.ts';
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
  const activated = isActivated(environment);
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
    (command.device === undefined && command.listen === undefined
      ? `${environment['XDG_RUNTIME_DIR'] ?? '/run'}/iserd-${process.pid}.sock`
      : undefined);
  const result = configSchema.safeParse({
    initiator: command.initiatorName === undefined ? {} : { name: command.initiatorName },
    memory: { registration: command.registration, pin_limit: command.pinLimit },
    lanes: { spin_us: command.spinUs },
    log: { level: command.logLevel },
    volume: [
      {
        name: 'serve',
        url: formatTargetUrl(url),
        portals: command.portals,
        device: command.device ?? 'none',
        socket,
        socket_mode: command.socketMode,
        socket_group: command.socketGroup,
        listen: command.listen,
        tls_certificate: absolute(command.tlsCertificate),
        tls_key: absolute(command.tlsKey),
        tls_client_ca: absolute(command.tlsClientCa),
        dead_conn_timeout: command.deadConnTimeout,
        force_detach: command.force,
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
    // A device outlives its daemon, and the next one must end the sessions of this one.
    stableIsid: command.device !== undefined && command.device !== 'none',
  });
  return {
    config,
    spec: front === 'configured' ? spec : { ...spec, socket: undefined, places: [] },
    warnings,
    front,
  };
}

/** A command line speaks from the working directory. */
function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path);
}

/** Whether a service manager has passed sockets of clients (sd_listen_fds(3)), beside those that a predecessor has stored. */
function isActivated(environment: NodeJS.ProcessEnv): boolean {
  const { LISTEN_FDS: count, LISTEN_PID: pid, LISTEN_FDNAMES: names } = environment;
  if (count === undefined || pid !== String(process.pid)) return false;
  return names === undefined || !names.split(':').every(isInheritedName);
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
  return { user, secret: keepSecret(new TextEncoder().encode(secret)) };
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
    portals: '--portal',
  };
  // An element of an array is named by its option.
  const key = String(path.findLast((part) => typeof part === 'string'));
  return names[key] ?? `--${key.replaceAll('_', '-')}`;
}
