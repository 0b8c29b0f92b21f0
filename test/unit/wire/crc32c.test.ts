import { expect } from 'chai';
import fc from 'fast-check';
import { crc32c, digestAt, setDigest } from '../../../src/wire/crc32c.ts';

/** The examples of RFC 7143 Appendix A (RFC 3720 B.4): bytes of the digest as they go on the wire. */
const examples: readonly [string, Uint8Array, readonly number[]][] = [
  ['32 bytes of zeroes', new Uint8Array(32), [0xaa, 0x36, 0x91, 0x8a]],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), [0x43, 0xab, 0xa8, 0x62]],
  ['32 bytes counting up', Uint8Array.from({ length: 32 }, (_, i) => i), [0x4e, 0x79, 0xdd, 0x46]],
  [
    '32 bytes counting down',
    Uint8Array.from({ length: 32 }, (_, i) => 31 - i),
    [0x5c, 0xdb, 0x3f, 0x11],
  ],
  [
    'a SCSI Read (10) command PDU',
    Uint8Array.from(
      Buffer.from(
        '01c000000000000000000000000000001400000000000400000000140000001828000000000000000200000000000000',
        'hex',
      ),
    ),
    [0x56, 0x3a, 0x96, 0xd9],
  ],
];

function bitwise(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

describe('crc32c', () => {
  for (const [name, bytes, digest] of examples) {
    it(`gives the standard's digest of ${name}`, () => {
      const wire = new Uint8Array(4);
      const view = new DataView(wire.buffer);
      setDigest(view, 0, crc32c(bytes, 0, bytes.length));
      expect([...wire]).to.deep.equal(digest);
      expect(digestAt(view, 0)).to.equal(crc32c(bytes, 0, bytes.length));
    });
  }

  it('equals the bit-by-bit definition for any bytes at any offset', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(16), (bytes, skip) => {
        const offset = Math.min(skip, bytes.length);
        const rest = bytes.subarray(offset);
        expect(crc32c(bytes, offset, rest.length)).to.equal(bitwise(rest));
      }),
    );
  });

  it('can be computed piece by piece', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
        const middle = Math.min(cut, bytes.length);
        const first = crc32c(bytes, 0, middle);
        expect(crc32c(bytes, middle, bytes.length - middle, first)).to.equal(bitwise(bytes));
      }),
    );
  });
});
