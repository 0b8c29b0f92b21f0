import { expect } from 'chai';
import fc from 'fast-check';
import {
  AdditionalSense,
  SenseKey,
  emptySense,
  formatSense,
  parseSense,
} from '../../../src/scsi/sense.ts';
import { ScsiStatus, scsiStatusName } from '../../../src/scsi/status.ts';

function parsed(text: string) {
  const bytes = Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
  const sense = emptySense();
  return { known: parseSense(bytes, 0, bytes.length, sense), sense };
}

describe('sense data', () => {
  it('fixed format gives key, code and information', () => {
    const { known, sense } = parsed('f0 00 03 00001234 0a 00000000 1101 00 000000');
    expect(known).to.equal(true);
    expect(sense).to.deep.equal({
      key: SenseKey.mediumError,
      code: 0x1101,
      deferred: false,
      informationValid: true,
      information: 0x1234,
    });
  });

  it('fixed format without VALID gives no information', () => {
    expect(parsed('70 00 05 ffffffff 0a 00000000 2100 00 000000').sense).to.include({
      code: AdditionalSense.lbaOutOfRange,
      informationValid: false,
      information: 0,
    });
  });

  it('an ADDITIONAL SENSE LENGTH that ends before ASC hides it', () => {
    expect(parsed('70 00 02 00000000 04 00000000 0401 00 000000').sense).to.include({
      key: SenseKey.notReady,
      code: 0,
    });
  });

  it('71h and 73h are deferred errors', () => {
    expect(parsed('71 00 03 00000000 0a 00000000 0c00 00 000000').sense.deferred).to.equal(true);
    expect(parsed('73 04 0c 00 000000 00').sense).to.include({
      deferred: true,
      code: 0x0c00,
      key: 4,
    });
  });

  it('descriptor format finds the information descriptor behind others', () => {
    const { sense } = parsed(
      '72 03 11 00 000000 14 02 06 0000 00000000 00 0a 80 00 0000000200000007',
    );
    expect(sense).to.deep.equal({
      key: SenseKey.mediumError,
      code: 0x1100,
      deferred: false,
      informationValid: true,
      information: 2 ** 33 + 7,
    });
  });

  it('a descriptor that runs past the end is not read', () => {
    const { known, sense } = parsed('72 03 11 00 000000 08 00 0a 80 00 00000002');
    expect(known).to.equal(true);
    expect(sense.informationValid).to.equal(false);
  });

  it('an unknown response code or no data at all is no sense, and leaves nothing of an earlier one', () => {
    const sense = emptySense();
    const good = Uint8Array.of(0x72, 6, 0x29, 0, 0, 0, 0, 0);
    expect(parseSense(good, 0, 8, sense)).to.equal(true);
    for (const bytes of [
      Uint8Array.of(0x7f, 1, 2, 3),
      Uint8Array.of(0x70, 0),
      Uint8Array.of(0x72),
    ]) {
      expect(parseSense(bytes, 0, bytes.length, sense)).to.equal(false);
      expect(sense.key).to.equal(0);
    }
    expect(parseSense(good, 0, 0, sense)).to.equal(false);
  });

  it('a length beyond the array is clamped', () => {
    const sense = emptySense();
    const bytes = Uint8Array.of(0, 0, 0x70, 0, 5);
    expect(parseSense(bytes, 2, 200, sense)).to.equal(true);
    expect(sense.key).to.equal(5);
  });

  it('any bytes give a key of four bits and a code of sixteen', () => {
    const sense = emptySense();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 260 }), fc.nat(300), (bytes, length) => {
        parseSense(bytes, 0, length, sense);
        expect(sense.key).to.be.within(0, 15);
        expect(sense.code).to.be.within(0, 0xffff);
        expect(Number.isFinite(sense.information)).to.equal(true);
      }),
    );
  });

  it('bytes behind the given length do not matter', () => {
    const [one, other] = [emptySense(), emptySense()];
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(64), (bytes, cut) => {
        const length = Math.min(cut, bytes.length);
        bytes[0] = 0x70 + (bytes[0] & 3);
        const tail = bytes.slice();
        tail.fill(0xff, length);
        parseSense(bytes, 0, length, one);
        parseSense(tail, 0, length, other);
        expect(one).to.deep.equal(other);
      }),
    );
  });

  it('is written for people as key and code', () => {
    const sense = { ...emptySense(), key: SenseKey.unitAttention, code: 0x2a09 };
    expect(formatSense(sense)).to.equal('UNIT ATTENTION 2a/09');
    expect(formatSense({ ...sense, key: 3, code: 0x0c00, deferred: true })).to.equal(
      'MEDIUM ERROR 0c/00 (deferred)',
    );
  });
});

describe('SCSI status', () => {
  it('has the standard name, or its number', () => {
    expect(scsiStatusName(ScsiStatus.taskSetFull)).to.equal('TASK SET FULL');
    expect(scsiStatusName(0x0f)).to.equal('status 0x0f');
  });
});
