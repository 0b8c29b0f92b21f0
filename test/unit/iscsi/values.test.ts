import { expect } from 'chai';
import fc from 'fast-check';
import { ProtocolError } from '../../../src/errors.ts';
import { formatBinary, parseBinary, parseBoolean, parseNumber } from '../../../src/iscsi/values.ts';

describe('values of text keys', () => {
  const numbers: [text: string, number: number][] = [
    ['0', 0],
    ['262144', 262144],
    ['0x200', 512],
    ['0XfF', 255],
    ['007', 7],
  ];
  for (const [text, number] of numbers) {
    it(`reads the number ${text}`, () => {
      expect(parseNumber('Key', text, 0, 300000)).to.equal(number);
    });
  }

  for (const text of ['', '-1', '1.5', '1e3', 'ten', '0x', ' 1', '99999999999', '0x123456789']) {
    it(`takes ${JSON.stringify(text)} for no number`, () => {
      expect(() => parseNumber('Key', text, 0, 300000))
        .to.throw(ProtocolError, 'Key')
        .with.property('code', 'VALUE_NOT_A_NUMBER');
    });
  }

  it('names key and limits of a number out of range', () => {
    expect(() => parseNumber('MaxBurstLength', '511', 512, 1024)).to.throw(
      ProtocolError,
      'MaxBurstLength: 511 is not in 512..1024',
    );
    expect(() => parseNumber('MaxBurstLength', '1025', 512, 1024)).to.throw(ProtocolError);
  });

  it('reads booleans as the standard spells them', () => {
    expect(parseBoolean('Key', 'Yes')).to.equal('Yes');
    expect(parseBoolean('Key', 'No')).to.equal('No');
    expect(() => parseBoolean('Key', 'yes')).to.throw(ProtocolError, 'neither Yes nor No');
  });

  const binaries: [text: string, bytes: number[]][] = [
    ['0x0aFf', [10, 255]],
    ['0Xabc', [0x0a, 0xbc]],
    ['0bAQID', [1, 2, 3]],
    ['0BAQI=', [1, 2]],
    ['0bAQ==', [1]],
  ];
  for (const [text, bytes] of binaries) {
    it(`reads the binary value ${text}`, () => {
      expect([...parseBinary('CHAP_C', text, 16)]).to.deep.equal(bytes);
    });
  }

  for (const text of ['', '12', '0xgg', '0bA', '0b====', '0bAQ=', '0bA=QI', '1x00']) {
    it(`takes ${JSON.stringify(text)} for no binary value`, () => {
      expect(() => parseBinary('CHAP_C', text, 16)).to.throw(ProtocolError, 'CHAP_C');
    });
  }

  it('refuses binary values that are empty or too long', () => {
    expect(() => parseBinary('CHAP_C', '0x', 16)).to.throw(ProtocolError, '1..16');
    expect(() => parseBinary('CHAP_C', `0x${'00'.repeat(17)}`, 16)).to.throw(
      ProtocolError,
      '17 bytes',
    );
  });

  it('reads the binary values that it writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (bytes) => {
        expect(parseBinary('K', formatBinary(bytes), 64)).to.deep.equal(bytes);
        const base64 = `0b${Buffer.from(bytes).toString('base64')}`;
        expect(parseBinary('K', base64, 64)).to.deep.equal(bytes);
      }),
    );
  });
});
