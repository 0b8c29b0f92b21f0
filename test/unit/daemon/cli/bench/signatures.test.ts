import { expect } from 'chai';
import { edgeBytes, findSignatures } from '../../../../../daemon/cli/bench/signatures.ts';

const edge = (offset = 0, text = ''): Uint8Array => {
  const bytes = new Uint8Array(edgeBytes);
  bytes.set(Buffer.from(text, 'latin1'), offset);
  return bytes;
};
const atEnd = (fromEnd: number, text: string): Uint8Array => edge(edgeBytes - fromEnd, text);

describe('signs that a disk is in use', () => {
  it('are not found on an empty one', () => {
    expect(findSignatures(edge(), edge())).to.deep.equal([]);
  });

  const starts: readonly (readonly [string, number, string])[] = [
    ['ext', 0x438, '\x53\xef'],
    ['XFS', 0, 'XFSB'],
    ['Btrfs', 0x10040, '_BHRfS_M'],
    ['GPT', 512, 'EFI PART'],
    ['GPT', 4096, 'EFI PART'],
    ['LUKS', 0, 'LUKS\xba\xbe'],
    ['LVM', 1024, 'LABELONE'],
    ['RAID', 4096, '\xfc\x4e\x2b\xa9'],
    ['swap', 4086, 'SWAPSPACE2'],
    ['MBR', 510, '\x55\xaa'],
  ];
  for (const [name, offset, magic] of starts) {
    it(`are found: ${name} at ${offset}`, () => {
      const found = findSignatures(edge(offset, magic), edge());
      expect(found).to.have.length(1);
      expect(found[0]).to.contain(name);
    });
  }

  it('are found at the end, too', () => {
    expect(findSignatures(edge(), atEnd(512, 'EFI PART'))[0]).to.contain('GPT');
    expect(findSignatures(edge(), atEnd(65_536, '\xfc\x4e\x2b\xa9'))[0]).to.contain('RAID');
  });

  it('are looked for in disks that are smaller than an edge', () => {
    const tiny = new Uint8Array(1024);
    expect(findSignatures(tiny, tiny)).to.deep.equal([]);
    tiny.set([0x55, 0xaa], 510);
    expect(findSignatures(tiny, tiny)).to.have.length(1);
  });
});
