import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { NativeReactor } from '../../../src/reactor/native-reactor.ts';
import { loadNative } from '../../../src/reactor/native.ts';

const page = 4096;

describe('native arena', () => {
  const { Arena } = loadNative();

  it('gives zero-filled memory of the size asked for', () => {
    const arena = new Arena(16 * page, false);
    expect(arena.buffer.byteLength).to.equal(16 * page);
    expect(new Uint8Array(arena.buffer).every((byte) => byte === 0)).to.equal(true);
    expect(arena.base % BigInt(page)).to.equal(0n);
    expect(arena.hugePages).to.equal(false);
    arena.close();
  });

  it('costs nothing until it is touched, however large', () => {
    const arena = new Arena(2 ** 31, false);
    expect(arena.buffer.byteLength).to.equal(2 ** 31);
    new DataView(arena.buffer).setUint32(2 ** 31 - 4, 7);
    arena.close();
  });

  it('falls back to ordinary pages where there are no huge ones', () => {
    const arena = new Arena(page, true);
    expect(arena.hugePages).to.be.a('boolean');
    expect(arena.buffer.byteLength % (2 << 20)).to.equal(0);
    new Uint8Array(arena.buffer).fill(1);
    arena.discard(page, page);
    expect(new Uint8Array(arena.buffer, page, page).every((byte) => byte === 0)).to.equal(true);
    arena.close();
  });

  it('reads discarded pages as zero and leaves their neighbours alone', () => {
    const arena = new Arena(3 * page, false);
    const bytes = new Uint8Array(arena.buffer).fill(0xaa);
    arena.discard(page, page);
    expect(bytes.subarray(page, 2 * page).every((byte) => byte === 0)).to.equal(true);
    expect(bytes[page - 1]).to.equal(0xaa);
    expect(bytes[2 * page]).to.equal(0xaa);
    arena.discard(0, 0);
    arena.close();
  });

  it('gives discarded pages back to the kernel although it is locked in memory', () => {
    const pages = 256;
    const arena = new Arena(pages * page, false);
    new Uint8Array(arena.buffer).fill(1);
    expect(mapping(arena.base).Rss).to.equal((pages * page) / 1024);
    arena.discard(0, (pages - 1) * page);
    expect(mapping(arena.base).Rss).to.equal(page / 1024);
    arena.close();
  });

  it('is locked in memory as far as the limit allows, and what is untouched takes none', () => {
    const arena = new Arena(4 * page, false);
    new Uint8Array(arena.buffer)[page] = 1;
    expect(mapping(arena.base)).to.deep.equal({ Rss: page / 1024, Locked: page / 1024 });
    arena.close();
  });

  it('refuses to discard what is not whole pages inside it', () => {
    const arena = new Arena(2 * page, false);
    const codeOf = (offset: number, length: number): string => {
      try {
        arena.discard(offset, length);
        return 'none';
      } catch (error) {
        return (error as NodeJS.ErrnoException).code ?? '';
      }
    };
    expect(codeOf(1, page)).to.equal('EINVAL');
    expect(codeOf(0, 100)).to.equal('EINVAL');
    expect(codeOf(page, 2 * page)).to.equal('EFAULT');
    expect(codeOf(2 ** 52, page)).to.equal('EFAULT');
    arena.close();
    expect(codeOf(0, page)).to.equal('EBADF');
  });

  it('refuses sizes that offsets cannot name', () => {
    expect(() => new Arena(0, false))
      .to.throw(/arena size/)
      .with.property('code', 'EINVAL');
    expect(() => new Arena(2 ** 32, false))
      .to.throw(/arena size/)
      .with.property('code', 'EINVAL');
    expect(() => new Arena(-1, false)).to.throw(TypeError);
  });

  it('detaches its buffer when it is closed, so that views are empty instead of dangling', () => {
    const arena = new Arena(page, false);
    const bytes = new Uint8Array(arena.buffer);
    arena.close();
    arena.close();
    expect(bytes.length).to.equal(0);
    expect(arena.buffer.byteLength).to.equal(0);
    expect(arena.base).to.equal(0n);
  });

  it('stays open while a reactor is open on it', () => {
    const native = loadNative();
    const arena = new Arena(page, false);
    const reactor = new NativeReactor({ native, arena, capacity: 4, spinMicroseconds: 0 });
    expect(() => {
      arena.close();
    })
      .to.throw(/a reactor is open/)
      .with.property('code', 'EBUSY');
    reactor.closeAll();
    arena.close();
    expect(() => new native.Reactor(arena, 4, () => 0)).to.throw(/arena is closed/);
  });
});

/** Figures of the mapping at an address, in KiB (proc(5), smaps). */
function mapping(base: bigint): { Rss: number; Locked: number } {
  const text = readFileSync('/proc/self/smaps', 'utf8');
  const start = text.search(new RegExp(`^0*${base.toString(16)}-`, 'm'));
  const figure = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text.slice(start))?.[1]);
  return { Rss: figure('Rss'), Locked: figure('Locked') };
}
