/** Signs that a disk is in use: partition tables, file systems, volume managers, by their magic numbers. */

/** Bytes of each end of the disk that signatures are looked for in. */
export const edgeBytes = 256 * 1024;

interface Signature {
  readonly name: string;
  readonly edge: 'start' | 'end';
  /** From that edge; at the end, counted backwards to the first byte. */
  readonly offset: number;
  readonly magic: readonly number[];
}

const ascii = (text: string): number[] => [...Buffer.from(text, 'latin1')];
const start = (name: string, offset: number, magic: readonly number[]): Signature => ({
  name,
  edge: 'start',
  offset,
  magic,
});
const end = (name: string, offset: number, magic: readonly number[]): Signature => ({
  name,
  edge: 'end',
  offset,
  magic,
});

const raidMagic = [0xfc, 0x4e, 0x2b, 0xa9];
const sectorBytes = 512;

const signatures: readonly Signature[] = [
  start('a GPT partition table', sectorBytes, ascii('EFI PART')),
  start('a GPT partition table', 4096, ascii('EFI PART')),
  end('the copy of a GPT partition table', sectorBytes, ascii('EFI PART')),
  end('the copy of a GPT partition table', 4096, ascii('EFI PART')),
  start('an ext2, ext3 or ext4 file system', 0x438, [0x53, 0xef]),
  start('an XFS file system', 0, ascii('XFSB')),
  start('a Btrfs file system', 0x10040, ascii('_BHRfS_M')),
  start('an F2FS file system', 0x400, [0x10, 0x20, 0xf5, 0xf2]),
  start('an NTFS file system', 3, ascii('NTFS    ')),
  start('an exFAT file system', 3, ascii('EXFAT   ')),
  start('an ISO 9660 file system', 0x8001, ascii('CD001')),
  start('a SquashFS file system', 0, ascii('hsqs')),
  start('a LUKS volume', 0, [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe]),
  start('a swap area', 4086, ascii('SWAPSPACE2')),
  start('a bcache device', 0x1018, [0xc6, 0x85, 0x73, 0xf6, 0x4e, 0x1a, 0x45, 0xca]),
  ...[0, 1, 2, 3].map((sector) =>
    start('an LVM physical volume', sector * sectorBytes, ascii('LABELONE')),
  ),
  start('a member of a RAID (md)', 0, raidMagic),
  start('a member of a RAID (md)', 4096, raidMagic),
  end('a member of a RAID (md)', 8192, raidMagic),
  end('a member of a RAID (md)', 65_536, raidMagic),
  // Last, because many of the others have it, too.
  start('a boot sector or an MBR partition table', 510, [0x55, 0xaa]),
];

/** Names of what the first and the last `edgeBytes` of a disk (less when it is smaller) show; each once. */
export function findSignatures(first: Uint8Array, last: Uint8Array): string[] {
  const found = signatures.filter(({ edge, offset, magic }) => {
    const bytes = edge === 'start' ? first : last;
    const at = edge === 'start' ? offset : bytes.length - offset;
    return at >= 0 && magic.every((byte, index) => bytes[at + index] === byte);
  });
  return [...new Set(found.map(({ name }) => name))];
}
