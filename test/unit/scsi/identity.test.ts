import { expect } from 'chai';
import { IdentityDifference, compareIdentity, identityName } from '../../../src/scsi/identity.ts';
import type { InquiryData } from '../../../src/scsi/inquiry.ts';
import { DesignatorType, type Designator } from '../../../src/scsi/vpd.ts';

const inquiry: InquiryData = {
  peripheralQualifier: 0,
  peripheralDeviceType: 0,
  removable: false,
  version: 6,
  vendor: 'IET',
  product: 'DISK',
  revision: '1',
};

function designator(type: number, bytes: readonly number[], association = 0): Designator {
  return { type, association, codeSet: 1, bytes: Uint8Array.from(bytes) };
}

const text = (value: string) => [...new TextEncoder().encode(value)];

const naa6 = designator(DesignatorType.naa, [0x60, 0x01]);
const naa5 = designator(DesignatorType.naa, [0x50, 0x02]);
const naa2 = designator(DesignatorType.naa, [0x20, 0x02]);
const naa3 = designator(DesignatorType.naa, [0x30, 0x03]);
const eui = designator(DesignatorType.eui64, [1, 2, 3]);
const uuid = designator(DesignatorType.uuid, [0x10, 0, 0xab, 0xcd]);
const name = designator(DesignatorType.scsiName, text('iqn.x:y\0'));
const t10 = designator(DesignatorType.t10VendorId, text('IET     00010001'));

describe('the identity of a logical unit', () => {
  it('is the best designator, whatever the order', () => {
    const order = [naa6, naa5, naa2, eui, uuid, name, naa3, t10];
    const names = order.map((_, index) => {
      const rest = order.slice(index);
      expect(identityName(rest, 'S', inquiry)).to.equal(
        identityName(rest.toReversed(), 'S', inquiry),
      );
      return identityName(rest, 'S', inquiry);
    });
    expect(names).to.deep.equal([
      'naa.6001',
      'naa.5002',
      'naa.2002',
      'eui.010203',
      'uuid.abcd',
      'iscsi.iqn.x:y',
      'naa.3003',
      't10.IET     00010001',
    ]);
  });

  it('never is a designator of the port or of the device, an empty or a vendor-specific one', () => {
    const others = [
      designator(DesignatorType.naa, [0x60], 1),
      designator(DesignatorType.naa, [0x60], 2),
      designator(DesignatorType.naa, []),
      designator(DesignatorType.vendorSpecific, [1]),
    ];
    expect(identityName(others, 'S1', inquiry)).to.equal('serial.IET.DISK.S1');
  });

  it('is the model alone when there is nothing else', () => {
    expect(identityName([], '', inquiry)).to.equal('model.IET.DISK');
  });
});

describe('compareIdentity', () => {
  const before = { name: 'naa.6001', blocks: 100, logicalBlockLength: 512 };
  const cases: readonly (readonly [string, Partial<typeof before>])[] = [
    [IdentityDifference.none, {}],
    [IdentityDifference.name, { name: 'naa.6002', blocks: 50 }],
    [IdentityDifference.blockLength, { logicalBlockLength: 4096, blocks: 50 }],
    [IdentityDifference.shrunk, { blocks: 99 }],
    [IdentityDifference.grown, { blocks: 101 }],
  ];
  for (const [difference, change] of cases) {
    it(`says ${difference}`, () => {
      expect(compareIdentity(before, { ...before, ...change })).to.equal(difference);
    });
  }
});
