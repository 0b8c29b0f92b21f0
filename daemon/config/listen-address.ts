import { isIP } from 'node:net';
import { ConfigurationError } from '../../src/errors.ts';

/** Where an NBD server listens on TCP. */
export interface ListenAddress {
  /** Numeric: a name could come to mean another address. */
  readonly address: string;
  readonly port: number;
}

/** proto.md: the port that IANA has assigned. */
const nbdPort = 10809;

/** "127.0.0.1:10809", "[::1]:10809"; the port may be left out. Throws ConfigurationError. */
export function parseListenAddress(text: string, defaultPort = nbdPort): ListenAddress {
  const match = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d{1,5}))?$/.exec(text);
  const [, bracketed, plain, portText] = (match ?? []) as readonly (string | undefined)[];
  const address = bracketed ?? plain ?? '';
  const port = portText === undefined ? defaultPort : Number(portText);
  if (isIP(address) !== (bracketed === undefined ? 4 : 6) || port < 1 || port > 65535) {
    throw new ConfigurationError(
      'bad-listen-address',
      `"${text}" is no numeric address with a port, such as 127.0.0.1:${defaultPort} or [::1]:${defaultPort}`,
    );
  }
  return { address, port };
}

/** Whether nobody but this machine can reach it: 127.0.0.0/8 or ::1. */
export function isLoopback({ address }: ListenAddress): boolean {
  return isIP(address) === 4 ? address.startsWith('127.') : /^(0{0,4}:){2,7}0{0,3}1$/.test(address);
}
