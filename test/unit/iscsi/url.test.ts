import { expect } from 'chai';
import fc from 'fast-check';
import { ConfigurationError } from '../../../src/errors.ts';
import {
  formatTargetUrl,
  parseTargetUrl,
  parseUnitUrl,
  withoutSecrets,
} from '../../../src/iscsi/url.ts';
import type { TargetUrl } from '../../../src/iscsi/url.ts';

const iqn = 'iqn.2026-01.org.example:disk';

describe('target URL', () => {
  const table: [text: string, url: TargetUrl][] = [
    [
      `iser://10.0.0.1/${iqn}/0`,
      { transport: 'iser', host: '10.0.0.1', port: 3260, targetName: iqn, lun: 0 },
    ],
    [
      `iscsi://storage.example:3261/${iqn}/16383`,
      { transport: 'tcp', host: 'storage.example', port: 3261, targetName: iqn, lun: 16383 },
    ],
    [
      `ISER://[fd00::1]:860/${iqn}/1`,
      { transport: 'iser', host: 'fd00::1', port: 860, targetName: iqn, lun: 1 },
    ],
    [
      `iser://[fe80::1%25eth0]/${iqn}/1`,
      { transport: 'iser', host: 'fe80::1%eth0', port: 3260, targetName: iqn, lun: 1 },
    ],
    [
      `iser://joe%pass%2Fword@h/${iqn}/1`,
      {
        transport: 'iser',
        user: 'joe',
        secret: 'pass/word',
        host: 'h',
        port: 3260,
        targetName: iqn,
        lun: 1,
      },
    ],
    [
      `iser://iqn.2026-01.org:joe@h/${iqn}/1`,
      {
        transport: 'iser',
        user: 'iqn.2026-01.org:joe',
        host: 'h',
        port: 3260,
        targetName: iqn,
        lun: 1,
      },
    ],
    [`iser://a@b%c@h`, { transport: 'iser', user: 'a@b', secret: 'c', host: 'h', port: 3260 }],
    [
      'iser://h/iqn.2026-01.org.example%3Adisk/2',
      { transport: 'iser', host: 'h', port: 3260, targetName: iqn, lun: 2 },
    ],
    ['iser://h', { transport: 'iser', host: 'h', port: 3260 }],
    ['iscsi://h:1/', { transport: 'tcp', host: 'h', port: 1 }],
    [`iser://h/${iqn}`, { transport: 'iser', host: 'h', port: 3260, targetName: iqn }],
    [`iser://h/${iqn}/`, { transport: 'iser', host: 'h', port: 3260, targetName: iqn }],
  ];
  for (const [text, url] of table) {
    it(`is read: ${text}`, () => {
      expect(parseTargetUrl(text)).to.deep.equal(url);
    });
  }

  const refusals: [text: string, part: string][] = [
    ['', 'scheme'],
    ['10.0.0.1', 'scheme'],
    ['nbd://h', 'scheme'],
    ['iser:///iqn', 'host'],
    ['iser://u@', 'host'],
    ['iser://h h/', 'host'],
    ['iser://fd00::1/', 'host'],
    ['iser://[fd00::1', 'host'],
    ['iser://[nonsense]', 'host'],
    ['iser://[fd00::1]x', 'host'],
    ['iser://h:', 'port'],
    ['iser://h:0', 'port'],
    ['iser://h:65536', 'port'],
    ['iser://h:http', 'port'],
    ['iser://@h', 'user'],
    ['iser://%secret@h', 'user'],
    ['iser://u%@h', 'secret'],
    ['iser://u%100%@h', 'secret'],
    ['iser://h/disk/0', 'target name'],
    ['iser://h//0', 'target name'],
    ['iser://h/iqn.2026-01.org%zz/0', 'target name'],
    [`iser://h/${iqn}/x`, 'LUN'],
    [`iser://h/${iqn}/-1`, 'LUN'],
    [`iser://h/${iqn}/16384`, 'LUN'],
    [`iser://h/${iqn}/0/1`, 'path'],
    [`iser://h/${iqn}/0?header_digest=crc32c`, 'path'],
  ];
  for (const [text, part] of refusals) {
    it(`is refused for its ${part}: ${text}`, () => {
      expect(() => parseTargetUrl(text)).to.throw(ConfigurationError, `target URL, ${part}:`);
    });
  }

  it('is refused for its path when a logical unit is asked for and it names a portal or a target', () => {
    expect(parseUnitUrl(`iser://h/${iqn}/3`)).to.include({ targetName: iqn, lun: 3 });
    for (const text of ['iser://h', `iser://h/${iqn}`]) {
      expect(() => parseUnitUrl(text)).to.throw(ConfigurationError, 'URL, path: it must name');
    }
  });

  it('never shows a secret in an error', () => {
    for (const text of ['iser://u%geheim%@h/', 'iser://u%geheim@h:0', 'iser://u%geheim@h/x/y/z']) {
      expect(() => parseTargetUrl(text))
        .to.throw(ConfigurationError)
        .with.property('message')
        .that.does.not.include('geheim');
    }
  });

  it('is written without its secret', () => {
    expect(formatTargetUrl(parseTargetUrl(`iser://joe%geheim@h:3260/${iqn}/0`))).to.equal(
      `iser://joe@h/${iqn}/0`,
    );
  });

  for (const text of [
    `iser://10.0.0.1/${iqn}/0`,
    `iscsi://joe@[fe80::1%25eth0]:3261/${iqn}/7`,
    'iscsi://h',
    `iser://h/${iqn}`,
  ]) {
    it(`is written as it was read: ${text}`, () => {
      expect(formatTargetUrl(parseTargetUrl(text))).to.equal(text);
    });
  }

  it('loses its secret in any text, even when it is no URL at all', () => {
    const texts = [
      `iser://joe%geheim@h/${iqn}/0`,
      `say "ISCSI://joe%geheim@[::1]:1/x" twice: iser://%geheim@h`,
      'iscsi://joe%ge/geheim@h',
      'iscsi://joe%geheim@geheim@h',
      'iser://joe%geheim@',
    ];
    for (const text of texts) expect(withoutSecrets(text)).to.not.include('geheim');
    expect(withoutSecrets(`iser://joe@h/${iqn}/0 100% of it@`)).to.equal(
      `iser://joe@h/${iqn}/0 100% of it@`,
    );
  });

  it('makes a URL or a ConfigurationError of any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.boolean(), (text, prefixed) => {
        try {
          expect(parseTargetUrl(prefixed ? `iser://${text}` : text).host).to.not.equal('');
        } catch (error) {
          expect(error).to.be.instanceOf(ConfigurationError);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
