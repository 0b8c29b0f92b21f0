/** Settings of the one-shot commands (`discover`, `inspect`, `bench`, `doctor`): a lane in this very thread, no daemon needed. */
import { ConfigurationError } from '../../src/errors.ts';
import { parseTargetUrl, parseUnitUrl, type TargetUrl } from '../../src/iscsi/url.ts';
import { forget, keepSecret } from '../config/secret.ts';
import { readSecretFile } from '../config/secret-file.ts';
import { Lane } from '../lane/lane.ts';
import type { ChapAccount, DigestWish, LaneOptions, SessionSpec } from '../lane/messages.ts';
import { defaultInitiatorName, randomIsid } from '../volume/spec.ts';

export interface TargetOptions {
  readonly url: string;
  readonly 'initiator-name'?: string | undefined;
  readonly 'chap-secret-file'?: string | undefined;
  readonly 'header-digest'?: DigestWish;
  readonly 'data-digest'?: DigestWish;
}

type LaneSize = Pick<LaneOptions, 'arenaBytes' | 'requestCapacity'>;
const smallLane: LaneSize = { arenaBytes: 16 * 2 ** 20, requestCapacity: 16 };
const connectSeconds = 20;
/** A person waits: a portal that does not answer is given up soon. */
const startTimeoutMs = 5000;

/** Runs `use` with a small lane, then closes it and overwrites the secret whatever happens. */
export async function withLane<T>(
  { chap }: Pick<SessionSpec, 'chap'>,
  use: (lane: Lane) => Promise<T>,
  { arenaBytes, requestCapacity }: LaneSize = smallLane,
): Promise<T> {
  const lane = new Lane(
    {
      registration: 'cache',
      pinLimitBytes: arenaBytes,
      arenaBytes,
      hugePages: false,
      spinMicroseconds: 0,
      requestCapacity,
      lanes: 1,
      sessions: 1,
    },
    () => {
      // What stops the command comes as its error.
    },
  );
  try {
    return await use(lane);
  } finally {
    await lane.handlers.close({});
    forget(chap?.secret);
  }
}

/** A session with what a URL names: a portal, perhaps a target and a logical unit too. Throws ConfigurationError. */
export function portalSpec(options: TargetOptions): Omit<SessionSpec, 'targetName' | 'lun'> & {
  readonly targetName: string | undefined;
  readonly lun: number | undefined;
} {
  const url = parseTargetUrl(options.url);
  return { ...specOf(url, options), targetName: url.targetName, lun: url.lun };
}

/** A session with the logical unit of a URL. Throws ConfigurationError. */
export function unitSpec(options: TargetOptions): SessionSpec {
  const url = parseUnitUrl(options.url);
  return { ...specOf(url, options), targetName: url.targetName, lun: url.lun };
}

function specOf(url: TargetUrl, options: TargetOptions): Omit<SessionSpec, 'targetName' | 'lun'> {
  if (url.secret !== undefined) {
    process.stderr.write(
      'iserctl: the secret on the command line can be read by every user; use --chap-secret-file\n',
    );
  }
  const chap = account(url.user, url.secret, options['chap-secret-file']);
  const milliseconds = connectSeconds * 1000;
  return {
    volume: 'iserctl',
    transport: url.transport,
    portals: [{ host: url.host, port: url.port }],
    initiatorName: options['initiator-name'] ?? defaultInitiatorName(),
    isid: randomIsid(),
    ...(chap === undefined ? {} : { chap }),
    headerDigest: options['header-digest'] ?? 'none',
    dataDigest: options['data-digest'] ?? 'none',
    readOnly: false,
    replacementTimeoutMs: milliseconds,
    commandTimeoutMs: milliseconds,
    loginTimeoutMs: milliseconds,
    startTimeoutMs,
    nopIntervalMs: 5000,
    nopTimeoutMs: 5000,
  };
}

function account(
  user: string | undefined,
  secret: string | undefined,
  secretFile: string | undefined,
): ChapAccount | undefined {
  if (user === undefined) {
    if (secretFile === undefined) return undefined;
    throw new ConfigurationError('chap-user', '--chap-secret-file needs a user in the URL');
  }
  if (secretFile !== undefined) return { user, secret: readSecretFile(secretFile) };
  if (secret === undefined) {
    throw new ConfigurationError(
      'chap-secret',
      `no secret for user "${user}": use --chap-secret-file`,
    );
  }
  return { user, secret: keepSecret(new TextEncoder().encode(secret)) };
}
