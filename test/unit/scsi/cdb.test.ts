import { expect } from 'chai';
import * as cdb from '../../../src/scsi/cdb.ts';
import * as management from '../../../src/scsi/management-cdb.ts';

/** What a writer leaves in a zero-filled slot that does not begin at 0, as hexadecimal. */
function written(length: number, write: (view: DataView, at: number) => void): string {
  const bytes = new Uint8Array(64);
  write(new DataView(bytes.buffer), 16);
  expect(bytes.subarray(0, 16).every((byte) => byte === 0)).to.equal(true);
  expect(bytes.subarray(16 + length).every((byte) => byte === 0)).to.equal(true);
  return hex(bytes.subarray(16, 16 + length));
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

describe('data path CDBs', () => {
  const lba = 0x1_2345_6789_ab;

  it('READ(16) has a 64-bit LBA at 2 and a 32-bit length at 10', () => {
    expect(
      written(16, (view, at) => {
        cdb.putRead16(view, at, lba, 0x800);
      }),
    ).to.equal('880000000123456789ab' + '000008000000');
  });

  it('WRITE(16) carries FUA in bit 3 of byte 1', () => {
    expect(
      written(16, (view, at) => {
        cdb.putWrite16(view, at, lba, 1, true);
      }),
    ).to.equal('8a0800000123456789ab' + '000000010000');
    expect(
      written(16, (view, at) => {
        cdb.putWrite16(view, at, 0, 1, false);
      }),
    ).to.equal('8a000000000000000000' + '000000010000');
  });

  it('READ(10) and WRITE(10) have a 32-bit LBA at 2 and a 16-bit length at 7', () => {
    expect(
      written(10, (view, at) => {
        cdb.putRead10(view, at, 0xfedcba98, 0xffff);
      }),
    ).to.equal('2800fedcba9800ffff00');
    expect(
      written(10, (view, at) => {
        cdb.putWrite10(view, at, 0xfedcba98, 1, true);
      }),
    ).to.equal('2a08fedcba9800000100');
  });

  it('SYNCHRONIZE CACHE leaves IMMED at 0', () => {
    expect(
      written(16, (view, at) => {
        cdb.putSynchronizeCache16(view, at, 1, 2);
      }),
    ).to.equal('91000000000000000001000000020000');
    expect(
      written(10, (view, at) => {
        cdb.putSynchronizeCache10(view, at, 1, 2);
      }),
    ).to.equal('35000000000100000200');
  });

  it('UNMAP names the length of its parameter list', () => {
    expect(
      written(10, (view, at) => {
        cdb.putUnmap(view, at, 24);
      }),
    ).to.equal('42000000000000001800');
  });

  it('the UNMAP parameter list holds data length, descriptor length and descriptors', () => {
    const list = written(40, (view, at) => {
      cdb.putUnmapHeader(view, at, 2);
      cdb.putUnmapDescriptor(view, at, 0, lba, 0x10);
      cdb.putUnmapDescriptor(view, at, 1, 8, 0xffffffff);
    });
    expect(list).to.equal(
      '0026002000000000' +
        '00000123456789ab' +
        '0000001000000000' +
        '0000000000000008' +
        'ffffffff00000000',
    );
  });

  it('WRITE SAME(16) carries ANCHOR, UNMAP and NDOB in byte 1', () => {
    const { anchor, unmap, ndob } = cdb.WriteSameFlag;
    expect(
      written(16, (view, at) => {
        cdb.putWriteSame16(view, at, lba, 3, anchor | unmap | ndob);
      }),
    ).to.equal('931900000123456789ab' + '000000030000');
  });

  it('GET LBA STATUS is service action 12h of 9Eh', () => {
    expect(
      written(16, (view, at) => {
        cdb.putGetLbaStatus(view, at, lba, 1024);
      }),
    ).to.equal('9e1200000123456789ab' + '000004000000');
  });
});

describe('management CDBs', () => {
  const golden: readonly (readonly [string, Uint8Array, string])[] = [
    ['TEST UNIT READY', management.testUnitReadyCdb(), '000000000000'],
    ['INQUIRY', management.inquiryCdb(96), '120000006000'],
    ['INQUIRY EVPD', management.inquiryVpdCdb(0x83, 1024), '120183040000'],
    ['READ CAPACITY(10)', management.readCapacity10Cdb(), '25000000000000000000'],
    ['READ CAPACITY(16)', management.readCapacity16Cdb(32), '9e100000000000000000000000200000'],
    ['MODE SENSE(6)', management.modeSense6Cdb(0x08, 192), '1a080800c000'],
    ['MODE SENSE(10)', management.modeSense10Cdb(0x3f, 0x1234), '5a083f00000000123400'],
    ['REPORT LUNS', management.reportLunsCdb(2048), 'a00000000000000008000000'],
    [
      'RSOC of an operation code',
      management.reportSupportedOperationCodeCdb(0x93, undefined, 64),
      'a30c01930000000000400000',
    ],
    [
      'RSOC of a service action',
      management.reportSupportedOperationCodeCdb(0x9e, 0x12, 64),
      'a30c029e0012000000400000',
    ],
    ['READ(16) of nothing', management.read16NothingCdb(), '88000000000000000000000000000000'],
  ];
  for (const [name, bytes, expected] of golden) {
    it(`${name} has the standard's bytes`, () => {
      expect(hex(bytes)).to.equal(expected);
    });
  }
});
