import { ProtocolError } from '../errors.ts';
import { quoted } from './text-keys.ts';
import { parseNumber } from './values.ts';

/** IANA's port for iSCSI targets; iSER uses it too. */
export const defaultPort = 3260;

export interface TargetAddress {
  /** Host name or numeric address, IPv6 without its brackets. */
  readonly address: string;
  readonly port: number;
  /** Target portal group tag; a redirection has none. */
  readonly tag: number | undefined;
}

const bracketed = /^\[([0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?)\](?::([^:,]*))?(?:,(.*))?$/;
const plain = /^([0-9A-Za-z._-]+)(?::([^:,]*))?(?:,(.*))?$/;

/** domainname[:port][,portal-group-tag], IPv6 in brackets (RFC 7143 §13.8). */
export function parseTargetAddress(value: string): TargetAddress {
  const match = value.length > 255 ? null : (bracketed.exec(value) ?? plain.exec(value));
  if (match === null) {
    throw new ProtocolError(
      'TARGET_ADDRESS',
      `TargetAddress: ${quoted(value)} is not host[:port][,portal group tag]`,
    );
  }
  // Groups that took no part are undefined, which RegExpExecArray does not say.
  const [, address, port, tag] = match as readonly (string | undefined)[];
  return {
    address: address ?? '',
    port: port === undefined ? defaultPort : parseNumber('TargetAddress port', port, 1, 65535),
    tag: tag === undefined ? undefined : parseNumber('TargetAddress tag', tag, 0, 65535),
  };
}
