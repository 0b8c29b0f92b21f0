import { expect } from 'chai';
import { privateData, responderResources } from '../../../src/iser/connection-parameters.ts';
import {
  checkControlHeader,
  setReadStag,
  setWriteStag,
  TaggedOffsets,
  writeControlHeader,
} from '../../../src/iser/header.ts';
import { statusName } from '../../../src/iser/verbs.ts';

function headerBytes(fill: (bytes: Uint8Array, view: DataView) => void): string {
  const bytes = new Uint8Array(30).fill(0xee);
  writeControlHeader(bytes, 1);
  fill(bytes, new DataView(bytes.buffer));
  return Buffer.from(bytes).toString('hex');
}

describe('iSER header', () => {
  it('is type 1 and otherwise zero without STags', () => {
    expect(headerBytes(() => undefined)).to.equal(`ee10${'00'.repeat(27)}ee`);
  });

  it('carries the Write STag and its base offset at bytes 4 and 8', () => {
    const offsets = new TaggedOffsets(0x0000_7f12_3456_7000n);
    expect(
      headerBytes((_, view) => {
        setWriteStag(view, 1, 0xdeadbeef, offsets, 0x10);
      }),
    ).to.equal(`ee18000000deadbeef00007f1234567010${'00'.repeat(12)}ee`);
  });

  it('carries the Read STag and its base offset at bytes 16 and 20', () => {
    const offsets = new TaggedOffsets(0x0000_7f12_3456_7000n);
    expect(
      headerBytes((_, view) => {
        setReadStag(view, 1, 0x01020304, offsets, 0x20);
      }),
    ).to.equal(`ee14000000${'00'.repeat(12)}0102030400007f1234567020ee`);
  });

  it('carries into the high half of the address', () => {
    const bytes = new Uint8Array(8);
    const view = new DataView(bytes.buffer);
    new TaggedOffsets(0x7f_ffff_f000n).write(view, 0, 0x1800);
    expect(view.getBigUint64(0)).to.equal(0x80_0000_0800n);
  });

  it('accepts a control-type PDU', () => {
    expect(() => {
      checkControlHeader(Uint8Array.of(0x10), 0);
    }).not.to.throw();
  });

  for (const [byte, name] of [
    [0x20, 'Hello'],
    [0x30, 'HelloReply'],
    [0x00, 'type 0x0'],
  ] as const) {
    it(`refuses ${name} by name`, () => {
      expect(() => {
        checkControlHeader(Uint8Array.of(byte), 0);
      }).to.throw(`iSER header of ${name},`);
    });
  }
});

describe('iSER connection parameters', () => {
  it('declare neither zero-based addresses nor send with invalidate', () => {
    expect([...privateData]).to.deep.equal([0xc0, 0, 0, 0]);
  });

  it('always grant the target at least one RDMA READ', () => {
    expect(responderResources(0)).to.equal(1);
    expect(responderResources(128)).to.equal(16);
    expect(responderResources(4)).to.equal(4);
  });

  it('name work completion statuses', () => {
    expect(statusName(13)).to.equal('RNR_RETRY_EXC_ERR');
    expect(statusName(99)).to.equal('status 99');
  });
});
