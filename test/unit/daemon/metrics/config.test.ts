import { expect } from 'chai';
import { parseConfig } from '../../../../daemon/config/load.ts';

const metrics = (lines: string): object => parseConfig(`[metrics]\n${lines}`, 'c.toml').metrics;

describe('the configuration of metrics', () => {
  it('is nowhere by default', () => {
    expect(parseConfig('', 'c.toml').metrics).to.deep.equal({});
  });

  it('takes a socket, with a group', () => {
    const lines = 'socket = "/run/iserd/metrics.sock"\ngroup = "prometheus"';
    expect(metrics(lines)).to.deep.equal({
      socket: '/run/iserd/metrics.sock',
      group: 'prometheus',
    });
  });

  it('takes a loopback address, with its own port where none is given', () => {
    expect(metrics('listen = "127.0.0.1:1234"')).to.deep.equal({
      listen: { address: '127.0.0.1', port: 1234 },
    });
    expect(metrics('listen = "[::1]"')).to.deep.equal({ listen: { address: '::1', port: 9810 } });
  });

  const refused: readonly (readonly [string, string, RegExp])[] = [
    [
      'an address that others can reach',
      'listen = "0.0.0.0:9810"',
      /^c\.toml:2: metrics\.listen: 0\.0\.0\.0 can be reached by others/,
    ],
    [
      'a name',
      'listen = "localhost:9810"',
      /^c\.toml:2: metrics\.listen: "localhost:9810" is no numeric address .*127\.0\.0\.1:9810/,
    ],
    [
      'both places',
      'socket = "/run/m"\nlisten = "127.0.0.1"',
      /^c\.toml:3: metrics\.listen: .*either/,
    ],
    [
      'a group without a socket',
      'listen = "127.0.0.1"\ngroup = "adm"',
      /^c\.toml:3: metrics\.group: .*no/,
    ],
    [
      'a relative path',
      'socket = "metrics.sock"',
      /^c\.toml:2: metrics\.socket: must be an absolute path/,
    ],
    ['an unknown key', 'port = 9810', /^c\.toml:2: metrics\.port: unknown key/],
  ];
  for (const [what, lines, message] of refused)
    it(`refuses ${what}`, () => {
      expect(() => metrics(lines)).to.throw(message);
    });
});
