/** What the supervisor needs to serve one volume, made from a configuration file or from a `serve` command line. */
import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { makeIsid } from '../../src/iscsi/isid.ts';
import type { PortalAddress } from '../../src/iscsi/recovery.ts';
import type { VolumeConfig } from '../config/schema.ts';
import type { ChapAccount, SessionSpec } from '../lane/messages.ts';
import type { ListenPlace } from '../socket-listener.ts';

export interface VolumeSpec {
  readonly name: string;
  /** Without its secret: safe to show. */
  readonly target: string;
  readonly device: string | undefined;
  readonly socket: string | undefined;
  /** Where NBD clients may come in: that socket, a TCP address. */
  readonly places: readonly ListenPlace[];
  /** Who it is to a successor or to another daemon; undefined when its sessions are like no others, and no device is left behind. */
  readonly owner?: string;
  /** How long I/O of the device waits for the next daemon; undefined: default. */
  readonly deadConnTimeoutSeconds?: number;
  /** The device is detached at the end even while it is in use. */
  readonly forceDetach?: boolean;
  /** The daemon is ready only when it serves. */
  readonly required?: boolean;
  /** One per lane; they differ in their ISID. */
  readonly sessions: readonly SessionSpec[];
}

/** The first login is tried for so many login timeouts. */
const firstLoginFactor = 2;

export function defaultInitiatorName(): string {
  return `iqn.2026-11.io.iserd:${hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')}`;
}

/** An ISID that no other session has: for one-shot logins. */
export function randomIsid(): Uint8Array {
  return makeIsid(randomBytes(3).readUIntBE(0, 3), 0);
}

/**
 * The 24 bits that tell our sessions apart. For a configured volume they come from names, so that after a crash the next daemon
 * reinstates the very session it had (RFC 7143 §6.3.5).
 */
function isidBits(seed: string | undefined): number {
  return (
    seed === undefined ? randomBytes(3) : createHash('sha256').update(seed).digest()
  ).readUIntBE(0, 3);
}

export interface VolumeSpecOptions {
  readonly initiatorName: string;
  readonly volume: VolumeConfig;
  readonly chap: ChapAccount | undefined;
  readonly mutualChap: ChapAccount | undefined;
  /** Whether the next daemon with this configuration is to take over our sessions. */
  readonly stableIsid: boolean;
}

/** In the order of their first mention. */
function withoutRepeats(portals: readonly PortalAddress[]): PortalAddress[] {
  return portals.filter(
    ({ host, port }, index) =>
      portals.findIndex((other) => other.host === host && other.port === port) === index,
  );
}

export function makeVolumeSpec(options: VolumeSpecOptions): VolumeSpec {
  const { volume, initiatorName } = options;
  const { url } = volume;
  const seed = options.stableIsid
    ? `${initiatorName}\n${volume.name}\n${url.targetName}\n${url.lun}`
    : undefined;
  const bits = isidBits(seed);
  const portals = withoutRepeats([{ host: url.host, port: url.port }, ...volume.portals]);
  const sessions = Array.from({ length: volume.lanes }, (_, lane): SessionSpec => {
    return {
      volume: volume.name,
      index: lane,
      transport: url.transport,
      portals,
      targetName: url.targetName,
      lun: url.lun,
      initiatorName,
      isid: makeIsid(bits, lane),
      ...(options.chap === undefined ? {} : { chap: options.chap }),
      ...(options.mutualChap === undefined ? {} : { mutualChap: options.mutualChap }),
      headerDigest: volume.header_digest,
      dataDigest: volume.data_digest,
      readOnly: volume.read_only,
      replacementTimeoutMs: volume.replacement_timeout,
      commandTimeoutMs: volume.command_timeout,
      loginTimeoutMs: volume.login_timeout,
      startTimeoutMs: volume.login_timeout * firstLoginFactor,
      nopIntervalMs: volume.nop_interval,
      nopTimeoutMs: volume.nop_timeout,
    };
  });
  const host = url.host.includes(':') ? `[${url.host}]` : url.host;
  const scheme = url.transport === 'iser' ? 'iser' : 'iscsi';
  return {
    name: volume.name,
    target: `${scheme}://${host}:${url.port}/${url.targetName}/${url.lun}`,
    device: volume.device === 'none' ? undefined : volume.device,
    socket: volume.socket,
    places: placesOf(volume),
    ...(options.stableIsid
      ? { owner: `${initiatorName} at ${url.targetName} LUN ${url.lun}` }
      : {}),
    deadConnTimeoutSeconds: volume.dead_conn_timeout,
    forceDetach: volume.force_detach,
    required: volume.required,
    sessions,
  };
}

function placesOf(volume: VolumeConfig): ListenPlace[] {
  const { socket: path, socket_group: group, socket_mode: mode, listen } = volume;
  const places: ListenPlace[] = [];
  if (path !== undefined) {
    const bits = mode ?? (group === undefined ? '0600' : '0660');
    places.push({
      path,
      mode: Number.parseInt(bits, 8),
      ...(group === undefined ? {} : { group }),
    });
  }
  if (listen !== undefined) {
    const { tls_certificate: certificate, tls_key: key, tls_client_ca: clientCa } = volume;
    const secured = certificate !== undefined && key !== undefined && clientCa !== undefined;
    places.push({ ...listen, ...(secured ? { tls: { certificate, key, clientCa } } : {}) });
  }
  return places;
}
