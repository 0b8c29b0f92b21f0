import { expect } from 'chai';
import { ConfigurationError } from '../../../src/errors.ts';
import { formatIsid, isidForName, makeIsid, parseIsid } from '../../../src/iscsi/isid.ts';
import { decodeLun, encodeLun } from '../../../src/iscsi/lun.ts';
import { checkName, nameDefect } from '../../../src/iscsi/names.ts';

describe('iSCSI name', () => {
  for (const name of [
    'iqn.2001-04.com.example:storage.disk2.sys1.xyz',
    'iqn.2001-04.com.example',
    'iqn.2026-12.org.example:with_underscore',
    'eui.02004567A425678D',
    'naa.52004567BA64678D',
    'naa.62004567BA64678D0123456789ABCDEF',
    `iqn.2026-01.org:${'x'.repeat(207)}`,
  ]) {
    it(`is fine: ${name.slice(0, 50)}`, () => {
      expect(nameDefect(name)).to.equal(undefined);
    });
  }

  for (const name of [
    '',
    'disk',
    'iqn.2001-13.com.example',
    'iqn.01-04.com.example',
    'iqn.2001-04.com.example:a b',
    'iqn.2001-04.com.example:a/b',
    'iqn.2001-04.com.example:a=b',
    'iqn.2001-04.com.example:',
    'eui.0200',
    'naa.52004567BA64678',
    `iqn.2026-01.org:${'x'.repeat(208)}`,
    `iqn.2026-01.org:${'ü'.repeat(104)}`,
  ]) {
    it(`is refused: ${JSON.stringify(name.slice(0, 50))}`, () => {
      expect(nameDefect(name)).to.be.a('string');
    });
  }

  it('is named together with the setting that it is wrong in', () => {
    expect(() => {
      checkName('disk', 'initiator name');
    }).to.throw(ConfigurationError, 'initiator name "disk"');
  });
});

describe('LUN field', () => {
  const table: [lun: number, word: number][] = [
    [0, 0x00000000],
    [1, 0x00010000],
    [255, 0x00ff0000],
    [256, 0x41000000],
    [16383, 0x7fff0000],
  ];
  for (const [lun, word] of table) {
    it(`of number ${lun} is written and read`, () => {
      expect(encodeLun(lun)).to.equal(word);
      expect(decodeLun(word)).to.equal(lun);
    });
  }

  for (const lun of [-1, 16384, 1.5, NaN]) {
    it(`cannot hold ${lun}`, () => {
      expect(() => encodeLun(lun)).to.throw(ConfigurationError, 'LUN');
    });
  }

  it('is read in flat addressing for small numbers too', () => {
    expect(decodeLun(0x40050000)).to.equal(5);
  });

  it('is not understood with a bus, a second level or another method', () => {
    expect(decodeLun(0x01050000)).to.equal(-1);
    expect(decodeLun(0x00050001)).to.equal(-1);
    expect(decodeLun(0x80050000)).to.equal(-1);
    expect(decodeLun(0xc1050000)).to.equal(-1);
  });
});

describe('ISID', () => {
  it('has the random format with number and qualifier', () => {
    expect(formatIsid(makeIsid(0x123456, 0x789a))).to.equal('80123456789a');
  });

  it('is the same for the same name and qualifier', () => {
    expect(isidForName('volume', 3)).to.deep.equal(isidForName('volume', 3));
  });

  it('is another one for another name or qualifier', () => {
    const first = formatIsid(isidForName('volume', 3));
    expect(formatIsid(isidForName('volumf', 3))).to.not.equal(first);
    expect(formatIsid(isidForName('volume', 4))).to.not.equal(first);
  });

  it('is read as it is written, with or without colons', () => {
    expect(parseIsid('80123456789A')).to.deep.equal(makeIsid(0x123456, 0x789a));
    expect(parseIsid('80:12:34:56:78:9a')).to.deep.equal(makeIsid(0x123456, 0x789a));
  });

  it('is refused when it has not 12 digits', () => {
    expect(() => parseIsid('8012')).to.throw(ConfigurationError, '12 hexadecimal digits');
  });

  it('cannot hold more than 24 and 16 bits', () => {
    expect(() => makeIsid(0x1000000, 0)).to.throw('24 bits');
    expect(() => makeIsid(0, 0x10000)).to.throw('16 bits');
  });
});
