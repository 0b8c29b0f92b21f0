import { ConfigurationError } from '../errors.ts';
import { maxLun } from './lun.ts';
import { nameDefect } from './names.ts';
import { defaultPort } from './target-address.ts';

/**
 * The URL of a logical unit, a target or a portal:
 *
 *   iser://[user[%secret]@]host[:port][/target name[/LUN]]        iscsi:// for TCP
 *
 * `%` parts user and secret, as other initiators have it; the secret, the target name and the zone of an IPv6 address may have
 * percent-encoded characters, the user may not.
 */
export interface TargetUrl {
  readonly transport: 'iser' | 'tcp';
  readonly user?: string;
  readonly secret?: string;
  /** Host name or numeric address, IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  /** Absent: discovery. */
  readonly targetName?: string;
  readonly lun?: number;
}

/** Of a logical unit: nothing is left open. */
export type UnitUrl = TargetUrl & Required<Pick<TargetUrl, 'targetName' | 'lun'>>;

const transports: ReadonlyMap<string, 'iser' | 'tcp'> = new Map([
  ['iser', 'iser'],
  ['iscsi', 'tcp'],
]);
const schemes = { iser: 'iser', tcp: 'iscsi' } as const;

/** @throws ConfigurationError that names the part of the URL; it never shows the secret */
export function parseTargetUrl(text: string): TargetUrl {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/]*)(?:\/(.*))?$/s.exec(text);
  if (match === null) fail('scheme', 'the URL must begin with iser:// or iscsi://');
  const [, scheme, authority, path] = match as readonly (string | undefined)[];
  const transport = transports.get((scheme ?? '').toLowerCase());
  if (transport === undefined) fail('scheme', 'it must be iser or iscsi');
  if (/[?#]/.test(text.slice(text.lastIndexOf('@') + 1))) {
    fail('path', 'query arguments and fragments are not supported');
  }
  const authorityText = authority ?? '';
  const at = authorityText.lastIndexOf('@');
  return {
    transport,
    ...(at < 0 ? {} : parseUser(authorityText.slice(0, at))),
    ...parseHost(authorityText.slice(at + 1)),
    ...parsePath(path ?? ''),
  };
}

/** @throws ConfigurationError as parseTargetUrl does, and for the URL of a portal or a target */
export function parseUnitUrl(text: string): UnitUrl {
  const { targetName, lun, ...rest } = parseTargetUrl(text);
  if (targetName === undefined || lun === undefined) {
    fail(
      'path',
      'it must name a target and a LUN, as in iser://10.0.0.5/iqn.2026-11.org.example:disk/0',
    );
  }
  return { ...rest, targetName, lun };
}

/** The URL without the secret, for logs and listings. */
export function formatTargetUrl(url: TargetUrl): string {
  const user = url.user === undefined ? '' : `${url.user}@`;
  const host = url.host.includes(':') ? `[${url.host.replace('%', '%25')}]` : url.host;
  const port = url.port === defaultPort ? '' : `:${url.port}`;
  const name =
    url.targetName === undefined
      ? ''
      : `/${encodeURIComponent(url.targetName).replaceAll('%3A', ':')}`;
  const lun = url.targetName === undefined || url.lun === undefined ? '' : `/${url.lun}`;
  return `${schemes[url.transport]}://${user}${host}${port}${name}${lun}`;
}

/**
 * Any text with the secrets of such URLs in it left out, well-formed or not: for what is shown to people. A secret ends at the last "@"
 * before white space.
 */
export function withoutSecrets(text: string): string {
  return text.replace(/((?:iser|iscsi):\/\/[^\s%@]*)%\S*@/gi, '$1@');
}

function parseUser(text: string): { user: string; secret?: string } {
  const percent = text.indexOf('%');
  const user = percent < 0 ? text : text.slice(0, percent);
  if (user === '') fail('user', 'it is empty');
  if (percent < 0) return { user };
  const secret = decode(text.slice(percent + 1), 'secret');
  if (secret === '') fail('secret', 'it is empty');
  return { user, secret };
}

function parseHost(text: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::([^:]*))?$/s.exec(text);
  if (match === null) fail('host', 'an IPv6 address must be in brackets');
  const [, address, name, port] = match as readonly (string | undefined)[];
  if (address !== undefined) {
    const host = decode(address, 'host');
    if (!/^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[0-9A-Za-z._-]+)?$/.test(host)) {
      fail('host', 'what is in brackets is not an IPv6 address');
    }
    return { host, port: parsePort(port) };
  }
  if (name === undefined || name === '') fail('host', 'it is empty');
  if (!/^[0-9A-Za-z._-]+$/.test(name)) {
    fail('host', 'it may have letters, digits, dots, hyphens and underscores');
  }
  return { host: name, port: parsePort(port) };
}

function parsePort(text: string | undefined): number {
  if (text === undefined) return defaultPort;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) fail('port', 'it must be a number in 1..65535');
  return port;
}

function parsePath(path: string): { targetName?: string; lun?: number } {
  if (path === '') return {};
  const parts = path.split('/');
  if (parts.length > 2) fail('path', 'after the host come a target name and a LUN, no more');
  const [encodedName, lunText] = parts as readonly (string | undefined)[];
  const targetName = decode(encodedName ?? '', 'target name');
  const defect = nameDefect(targetName);
  if (defect !== undefined) fail('target name', defect);
  if (lunText === undefined || lunText === '') return { targetName };
  const lun = /^\d{1,5}$/.test(lunText) ? Number(lunText) : -1;
  if (lun < 0 || lun > maxLun) fail('LUN', `it must be a number in 0..${maxLun}`);
  return { targetName, lun };
}

function decode(text: string, part: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // Without the cause: its message may quote the secret.
    return fail(part, 'a "%" must be followed by two hexadecimal digits that make UTF-8');
  }
}

function fail(part: string, defect: string): never {
  throw new ConfigurationError('TARGET_URL_INVALID', `target URL, ${part}: ${defect}`);
}
