/** `iserctl bench` against a real target. */
import { expect } from 'chai';
import { readFileSync } from 'node:fs';
import { DaemonFixture, mebibyte, runIserctl } from '../helpers/daemon-fixture.ts';
import { runOk, type Finished } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';

interface Document {
  readonly url: string;
  readonly sizeBytes: number;
  readonly workloads: readonly {
    readonly operation: string;
    readonly blockBytes: number;
    readonly depth: number;
    readonly requests: number;
    readonly iops: number;
    readonly bytesPerSecond: number;
    readonly latencyMicroseconds: { readonly p50: number; p99: number; max: number; mean: number };
  }[];
}

const sizeBytes = 32 * mebibyte;

describe('iserctl bench', function () {
  this.timeout(60_000);
  const test = DaemonFixture.perTest();
  let tgt: Tgt;

  beforeEach(async () => {
    tgt = await test.tgt({ luns: [{ sizeBytes }] });
  });

  const bench = (...argv: readonly string[]): Promise<Finished> =>
    runIserctl('bench', tgt.urls[0], '--seconds', '0.3', ...argv);
  const disk = (): Buffer => readFileSync(tgt.files[0]);
  const isEmpty = (): boolean => disk().every((byte) => byte === 0);

  it('prints a line for each workload, and reads only', async () => {
    const { code, stdout, stderr } = await bench();
    expect(code, stderr).to.equal(0);
    const lines = stdout.split('\n');
    expect(lines[0]).to.equal(`${tgt.urls[0]}: IET VIRTUAL-DISK, 32 MiB`);
    expect(lines[2]).to.match(/^WORKLOAD +IOPS +MiB\/s +p50 ms +p99 ms +max ms$/);
    expect(lines.slice(3, 7).map((line) => line.replace(/(, depth \d+).*/, '$1'))).to.deep.equal([
      '4 KiB random read, depth 1',
      '4 KiB random read, depth 32',
      '256 KiB sequential read, depth 8',
      '1 MiB sequential read, depth 8',
    ]);
    expect(stderr).to.equal('');
    expect(isEmpty()).to.equal(true);
  });

  it('prints figures that fit together', async () => {
    const { stdout } = await bench('--json');
    const document = JSON.parse(stdout) as Document;
    expect(document).to.include({ url: tgt.urls[0], sizeBytes });
    expect(document.workloads).to.have.length(4);
    for (const { blockBytes, depth, iops, bytesPerSecond, ...rest } of document.workloads) {
      const { p50, p99, max, mean } = rest.latencyMicroseconds;
      expect(rest.requests).to.be.above(0);
      expect(bytesPerSecond).to.be.closeTo(iops * blockBytes, 1);
      expect(p50).to.be.above(0).and.at.most(p99);
      expect(p99).to.be.at.most(max);
      // Little's law: what is in flight is rate times latency.
      expect((iops * mean) / 1e6).to.be.closeTo(depth, depth * 0.35);
    }
  });

  it('writes when it is told to, all over the disk', async () => {
    const { code, stdout } = await bench('--write', '--json');
    expect(code).to.equal(0);
    const { workloads } = JSON.parse(stdout) as Document;
    expect(workloads.map(({ operation }) => operation)).to.deep.equal([
      ...Array<string>(4).fill('read'),
      ...Array<string>(4).fill('write'),
    ]);
    const written = disk();
    expect(written.subarray(0, mebibyte).every((byte) => byte === 0)).to.equal(false);
    expect(written.subarray(sizeBytes - mebibyte).every((byte) => byte === 0)).to.equal(false);
  });

  it('spares a file system, unless it is told twice', async () => {
    await runOk('mkfs.ext4', ['-q', '-F', tgt.files[0]]);
    const before = disk();
    const { code, stdout, stderr } = await bench('--write');
    expect(code).to.equal(1);
    expect(stdout).to.equal('');
    expect(stderr).to.match(/^iserctl: the logical unit holds an ext2, ext3 or ext4 file system; /);
    expect(disk().equals(before)).to.equal(true);
    expect((await bench('--write', '--yes', '--json')).code).to.equal(0);
    expect(disk().equals(before)).to.equal(false);
  });

  it('says what is wrong with its arguments, with exit code 2', async () => {
    for (const argv of [
      ['bench', `iscsi://${tgt.address}:${tgt.port}`],
      ['bench', tgt.urls[0], '--seconds', '0'],
      ['bench', tgt.urls[0], '--seconds', 'soon'],
    ]) {
      const { code, stderr } = await runIserctl(...argv);
      expect(code, argv.join(' ')).to.equal(2);
      expect(stderr).to.match(/^iserctl: [^\n]+\n$/);
    }
  });
});
