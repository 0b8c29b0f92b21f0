import { expect } from 'chai';
import fc from 'fast-check';
import { ProtocolError } from '../../../src/errors.ts';
import { parseReadCapacity10, parseReadCapacity16 } from '../../../src/scsi/capacity.ts';
import { parseInquiry } from '../../../src/scsi/inquiry.ts';
import {
  lbaStatusBlocks,
  lbaStatusCount,
  lbaStatusLba,
  lbaStatusProvisioning,
} from '../../../src/scsi/lba-status.ts';
import { parseReportLuns } from '../../../src/scsi/luns.ts';
import { parseModeSense10, parseModeSense6 } from '../../../src/scsi/mode.ts';
import { parseSupportedOperation } from '../../../src/scsi/supported-operation.ts';

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

describe('INQUIRY data', () => {
  it('names the unit', () => {
    const data = new Uint8Array(36);
    data.set([0x20, 0x80, 6, 2, 31]);
    data.set(new TextEncoder().encode('IET     VIRTUAL-DISK    0001'), 8);
    expect(parseInquiry(data)).to.deep.equal({
      peripheralQualifier: 1,
      peripheralDeviceType: 0,
      removable: true,
      version: 6,
      vendor: 'IET',
      product: 'VIRTUAL-DISK',
      revision: '0001',
    });
  });

  it('may end early', () => {
    expect(parseInquiry(bytes('7f00000200'))).to.include({ peripheralQualifier: 3, vendor: '' });
    expect(() => parseInquiry(bytes('00000002'))).to.throw(ProtocolError, 'INQUIRY data: 4 bytes');
  });
});

describe('READ CAPACITY data', () => {
  it('(10) gives one block more than the last LBA', () => {
    expect(parseReadCapacity10(bytes('000003ff 00000200'))).to.include({
      blocks: 1024,
      logicalBlockLength: 512,
      lbpme: false,
    });
  });

  it('(10) of a large unit says: ask (16)', () => {
    expect(parseReadCapacity10(bytes('ffffffff 00000200'))).to.equal(undefined);
  });

  it('(16) gives provisioning and the physical block length', () => {
    const data = new Uint8Array(32);
    data.set(bytes('0000000100000000 00001000 00 02 c0 00'));
    expect(parseReadCapacity16(data)).to.deep.equal({
      blocks: 2 ** 32 + 1,
      logicalBlockLength: 4096,
      physicalBlockLength: 16384,
      lbpme: true,
      lbprz: true,
    });
  });

  it('(16) of 12 bytes is enough', () => {
    expect(parseReadCapacity16(bytes('00000000000000ff 00000200'))).to.include({
      blocks: 256,
      physicalBlockLength: 512,
      lbpme: false,
    });
  });

  it('block lengths that cannot be served are refused with their value', () => {
    for (const length of ['00000000', '00000208', '00000100', '00020000', '80000000']) {
      expect(() => parseReadCapacity16(bytes(`00000000000000ff ${length}`))).to.throw(
        ProtocolError,
        `a logical block length of ${Number.parseInt(length, 16)};`,
      );
    }
  });

  it('a size of 2^53 bytes or more is refused', () => {
    expect(() => parseReadCapacity16(bytes('ffffffffffffffff 00000200'))).to.throw(
      ProtocolError,
      '2^53',
    );
  });
});

describe('MODE SENSE data', () => {
  it('(6) gives WP, DPOFUA and WCE, behind a block descriptor and other pages', () => {
    const data = bytes(
      '1b 00 90 08 0000000000000200 01 02 aaaa 48 01 0002 bbbb 08 0a 04 000000000000000000',
    );
    expect(parseModeSense6(data)).to.deep.equal({
      writeProtected: true,
      dpoFua: true,
      writeCacheEnabled: true,
    });
  });

  it('(10) does the same with its longer header', () => {
    expect(parseModeSense10(bytes('0011 00 00 0000 0000 08 0a 00 00000000000000'))).to.deep.equal({
      writeProtected: false,
      dpoFua: false,
      writeCacheEnabled: false,
    });
  });

  it('without a caching page the write cache is unknown', () => {
    expect(parseModeSense6(bytes('03000000')).writeCacheEnabled).to.equal(undefined);
  });

  it('bytes behind the mode data length are no page', () => {
    expect(parseModeSense6(bytes('03000000 080a04')).writeCacheEnabled).to.equal(undefined);
  });

  it('a sub-page header that is cut ends the search', () => {
    expect(parseModeSense6(bytes('ff000000 480100')).writeCacheEnabled).to.equal(undefined);
  });
});

describe('REPORT LUNS data', () => {
  it('decodes peripheral and flat space addressing, and keeps others as hexadecimal', () => {
    const list = parseReportLuns(
      bytes(
        '00000020 00000000 0005000000000000 4123000000000000 c100000000000000 0001000200000000',
      ),
    );
    expect(list.luns.map((lun) => lun.number)).to.deep.equal([5, 0x123, undefined, undefined]);
    expect(list.luns[2].hex).to.equal('c100000000000000');
    expect(list.listLength).to.equal(32);
  });

  it('gives only whole entries', () => {
    expect(parseReportLuns(bytes('00000010 00000000 0000000000000000 00')).luns).to.have.length(1);
  });
});

describe('REPORT SUPPORTED OPERATION CODES data', () => {
  it('tells supported, not supported and not known', () => {
    expect(parseSupportedOperation(bytes('0003 0002 93e8'))).to.deep.equal({
      supported: true,
      usage: bytes('93e8'),
    });
    expect(parseSupportedOperation(bytes('0001 0000')).supported).to.equal(false);
    expect(parseSupportedOperation(bytes('0005 0000')).supported).to.equal(false);
    expect(parseSupportedOperation(bytes('0000 0000')).supported).to.equal(undefined);
  });
});

describe('GET LBA STATUS data', () => {
  const data = bytes(
    '00000024 00000000 0000000100000002 00000008 01000000 000000010000000a 00000001 00000000',
  );
  const view = new DataView(data.buffer);

  it('is read in place', () => {
    expect(lbaStatusCount(view, 0, data.length)).to.equal(2);
    expect(lbaStatusLba(view, 0, 1)).to.equal(2 ** 32 + 10);
    expect(lbaStatusBlocks(view, 0, 0)).to.equal(8);
    expect(lbaStatusProvisioning(view, 0, 0)).to.equal(1);
  });

  it('counts whole descriptors only', () => {
    expect(lbaStatusCount(view, 0, 39)).to.equal(1);
    expect(lbaStatusCount(view, 0, 23)).to.equal(0);
  });

  it('believes neither a length beyond the data nor one below the header', () => {
    const other = new DataView(new ArrayBuffer(40));
    other.setUint32(0, 0xffffffff);
    expect(lbaStatusCount(other, 0, 40)).to.equal(2);
    other.setUint32(0, 0);
    expect(lbaStatusCount(other, 0, 40)).to.equal(0);
  });
});

describe('parameter data parsers', () => {
  const parsers = [
    parseInquiry,
    parseReadCapacity10,
    parseReadCapacity16,
    parseModeSense6,
    parseModeSense10,
    parseReportLuns,
    parseSupportedOperation,
  ];
  for (const parse of parsers) {
    it(`${parse.name} throws nothing but ProtocolError, whatever the bytes`, () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 80 }), (data) => {
          try {
            parse(data);
          } catch (error) {
            expect(error).to.be.instanceOf(ProtocolError);
          }
        }),
      );
    });
  }
});
