/** Who may reach a volume, as configured. */
import { expect } from 'chai';
import { isLoopback, parseListenAddress } from '../../../daemon/config/listen-address.ts';
import { parseConfig } from '../../../daemon/config/load.ts';
import { makeVolumeSpec } from '../../../daemon/volume/spec.ts';
import type { ListenPlace } from '../../../daemon/socket-listener.ts';
import { ConfigurationError } from '../../../src/errors.ts';

const volume = (...lines: readonly string[]): string =>
  ['[[volume]]', 'name = "d"', 'url = "iscsi://h/iqn.2026-11.test:d/0"', ...lines, ''].join('\n');
const tls = [
  'tls_certificate = "/etc/iserd/server.pem"',
  'tls_key = "/etc/iserd/server.key"',
  'tls_client_ca = "/etc/iserd/ca.pem"',
];

function places(...lines: readonly string[]): readonly ListenPlace[] {
  const [config] = parseConfig(volume(...lines), 'x.toml').volume;
  const secrets = { chap: undefined, mutualChap: undefined };
  return makeVolumeSpec({ volume: config, initiatorName: 'iqn', stableIsid: true, ...secrets })
    .places;
}

function refusal(...lines: readonly string[]): string {
  try {
    parseConfig(volume(...lines), 'x.toml');
  } catch (error) {
    expect(error).to.be.instanceOf(ConfigurationError);
    return (error as Error).message;
  }
  throw new Error('it was accepted');
}

describe('access', () => {
  it('to a socket is its owner’s alone by default', () => {
    expect(places('socket = "/run/d"')).to.deep.equal([{ path: '/run/d', mode: 0o600 }]);
  });

  it('to a socket is a group’s when there is one', () => {
    expect(places('socket = "/run/d"', 'socket_group = "kvm"')).to.deep.equal([
      { path: '/run/d', mode: 0o660, group: 'kvm' },
    ]);
  });

  it('to a socket can be anybody’s', () => {
    expect(places('socket = "/run/d"', 'socket_mode = "0666"')).to.deep.equal([
      { path: '/run/d', mode: 0o666 },
    ]);
  });

  it('by TCP is there only when it is asked for', () => {
    expect(places('socket = "/run/d"', 'listen = "127.0.0.1:10809"')).to.deep.include({
      address: '127.0.0.1',
      port: 10809,
    });
  });

  it('by TCP from elsewhere is there with TLS', () => {
    expect(places('listen = "[2001:db8::7]"', ...tls)).to.deep.equal([
      {
        address: '2001:db8::7',
        port: 10809,
        tls: {
          certificate: '/etc/iserd/server.pem',
          key: '/etc/iserd/server.key',
          clientCa: '/etc/iserd/ca.pem',
        },
      },
    ]);
  });

  const refusals: readonly (readonly [string, readonly string[], RegExp])[] = [
    ['TCP from elsewhere without TLS', ['listen = "10.0.0.1:10809"'], /listen: .*needs TLS/],
    ['TCP from everywhere without TLS', ['listen = "0.0.0.0:10809"'], /listen: .*needs TLS/],
    ['a name to listen on', ['listen = "localhost:10809"'], /no numeric address/],
    ['half of what TLS needs', ['listen = "10.0.0.1"', tls[0]], /belong together/],
    ['TLS without a listener', ['socket = "/run/d"', ...tls], /tls_certificate: TLS belongs to/],
    [
      'a mode that lets others half in',
      ['socket = "/run/d"', 'socket_mode = "0640"'],
      /socket_mode/,
    ],
    ['a mode without a socket', ['device = "auto"', 'socket_mode = "0660"'], /there is none/],
    [
      'a group that its mode shuts out',
      ['socket = "/run/d"', 'socket_mode = "0600"', 'socket_group = "kvm"'],
      /lets no group in/,
    ],
    ['a relative path', ['listen = "127.0.0.1"', 'tls_key = "key"'], /absolute path/],
  ];
  for (const [what, lines, message] of refusals) {
    it(`by ${what} is refused`, () => {
      expect(refusal(...lines)).to.match(message);
    });
  }

  it('by one address for two volumes is refused', () => {
    const two =
      volume('listen = "127.0.0.1:1"') + volume('listen = "127.0.0.1:1"').replace('"d"', '"e"');
    expect(() => parseConfig(two, 'x.toml')).to.throw('"127.0.0.1 port 1" is used twice');
  });
});

describe('an address to listen on', () => {
  for (const text of ['127.0.0.1', '127.9.9.9:1', '[::1]', '[0:0:0:0:0:0:0:1]:5']) {
    it(`is this machine’s own: ${text}`, () => {
      expect(isLoopback(parseListenAddress(text))).to.equal(true);
    });
  }
  for (const text of ['128.0.0.1', '0.0.0.0', '[::]', '[::ffff:7f00:1]', '[2001::1]', '[1::1]']) {
    it(`can be reached by others: ${text}`, () => {
      expect(isLoopback(parseListenAddress(text))).to.equal(false);
    });
  }
  for (const text of ['', ':1', '::1', '[127.0.0.1]', '127.1', '127.0.0.1:0', '127.0.0.1:65536']) {
    it(`is not what this is: "${text}"`, () => {
      expect(() => parseListenAddress(text)).to.throw(ConfigurationError);
    });
  }
});
