import { expect } from 'chai';
import fc from 'fast-check';
import { ProtocolError } from '../../../src/errors.ts';
import {
  DesignatorType,
  VpdPage,
  noProvisioning,
  parseBlockLimits,
  parseDeviceIdentification,
  parseLogicalBlockProvisioning,
  parseRotationRate,
  parseSupportedPages,
  parseUnitSerialNumber,
} from '../../../src/scsi/vpd.ts';

function page(code: number, body: readonly number[], length = body.length): Uint8Array {
  return Uint8Array.of(0, code, length >> 8, length & 0xff, ...body);
}

describe('vital product data', () => {
  it('page 00h lists the pages, as far as its length says', () => {
    expect(parseSupportedPages(page(0, [0, 0x80, 0xb0, 0xff], 3))).to.deep.equal([0, 0x80, 0xb0]);
  });

  it('page 80h loses blanks and zero bytes', () => {
    const serial = [...new TextEncoder().encode('  AB\u00001'), 0, 0];
    expect(parseUnitSerialNumber(page(0x80, serial))).to.equal('AB');
    expect(parseUnitSerialNumber(page(0x80, [0x41, 0x07, 0xff]))).to.equal('A??');
  });

  it('page 80h gives no more than 255 characters of a serial number without end', () => {
    const serial = new Array<number>(60_000).fill(0x53);
    expect(parseUnitSerialNumber(page(0x80, serial))).to.equal('S'.repeat(255));
  });

  it('a page other than the one asked for is refused', () => {
    expect(() => parseUnitSerialNumber(page(0x83, []))).to.throw(ProtocolError, 'PAGE CODE');
  });

  it('page 83h gives every designator with association, type and code set', () => {
    const designators = parseDeviceIdentification(
      page(0x83, [0x01, 0x03, 0, 2, 0x60, 1, 0x52, 0x91, 0, 1, 0x41]),
    );
    expect(designators).to.deep.equal([
      { type: DesignatorType.naa, codeSet: 1, association: 0, bytes: Uint8Array.of(0x60, 1) },
      { type: DesignatorType.t10VendorId, codeSet: 2, association: 1, bytes: Uint8Array.of(0x41) },
    ]);
  });

  it('a designator that runs past the page is refused', () => {
    expect(() => parseDeviceIdentification(page(0x83, [1, 3, 0, 8, 0x60]))).to.throw(
      ProtocolError,
      'ends at 12, the page at 5',
    );
  });

  it('a designator that the allocation length cut is left out', () => {
    const data = page(0x83, [1, 3, 0, 2, 0x60, 1, 1, 2, 0, 8, 0x60], 18);
    expect(parseDeviceIdentification(data)).to.have.length(1);
  });

  it('page B0h gives all limits in blocks', () => {
    const body = new DataView(new ArrayBuffer(60));
    body.setUint16(2, 8);
    body.setUint32(4, 1000);
    body.setUint32(8, 500);
    body.setUint32(16, 0xffffffff);
    body.setUint32(20, 32);
    body.setUint32(24, 16);
    body.setUint32(28, 0x80000003);
    body.setBigUint64(32, 0x1_0000_0000n);
    expect(parseBlockLimits(page(0xb0, [...new Uint8Array(body.buffer)]))).to.deep.equal({
      optimalTransferGranularity: 8,
      maximumTransferLength: 1000,
      optimalTransferLength: 500,
      maximumUnmapLbaCount: 0xffffffff,
      maximumUnmapDescriptorCount: 32,
      optimalUnmapGranularity: 16,
      unmapGranularityAlignment: 3,
      maximumWriteSameLength: 2 ** 32,
    });
  });

  it('the short page B0h of SBC-2 has no unmap limits', () => {
    const limits = parseBlockLimits(page(0xb0, [0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 9]));
    expect(limits).to.include({
      optimalTransferGranularity: 1,
      maximumTransferLength: 256,
      optimalTransferLength: 9,
      maximumUnmapLbaCount: 0,
    });
  });

  it('an alignment without UGAVALID does not count', () => {
    const body = new Array<number>(60).fill(0);
    body[31] = 3;
    expect(parseBlockLimits(page(0xb0, body)).unmapGranularityAlignment).to.equal(0);
  });

  it('page B1h gives the rotation rate', () => {
    expect(parseRotationRate(page(0xb1, [0x1c, 0x20]))).to.equal(7200);
    expect(parseRotationRate(page(0xb1, [0]))).to.equal(0);
  });

  it('page B2h gives what can be unmapped, and what is read then', () => {
    expect(parseLogicalBlockProvisioning(page(0xb2, [0, 0xc6, 2, 0]))).to.deep.equal({
      lbpu: true,
      lbpws: true,
      lbprz: true,
      anchorSupported: true,
      provisioningType: 2,
    });
  });

  it('LBPRZ 010b (a pattern) is not zeroes', () => {
    expect(parseLogicalBlockProvisioning(page(0xb2, [0, 0x88])).lbprz).to.equal(false);
    expect(parseLogicalBlockProvisioning(page(0xb2, [0]))).to.deep.equal(noProvisioning);
  });

  it('no bytes make a parser throw anything but ProtocolError', () => {
    const parsers: readonly (readonly [number, (data: Uint8Array) => unknown])[] = [
      [VpdPage.supportedPages, parseSupportedPages],
      [VpdPage.unitSerialNumber, parseUnitSerialNumber],
      [VpdPage.deviceIdentification, parseDeviceIdentification],
      [VpdPage.blockLimits, parseBlockLimits],
      [VpdPage.blockDeviceCharacteristics, parseRotationRate],
      [VpdPage.logicalBlockProvisioning, parseLogicalBlockProvisioning],
    ];
    for (const [code, parse] of parsers) {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (data, right) => {
          if (right && data.length > 1) data[1] = code;
          try {
            parse(data);
          } catch (error) {
            expect(error).to.be.instanceOf(ProtocolError);
          }
        }),
      );
    }
  });
});
