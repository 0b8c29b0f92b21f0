/** iserd over TCP against a real tgt, used by clients that nobody here wrote. */
import { expect } from 'chai';
import { createHash, randomFillSync } from 'node:crypto';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DaemonFixture } from '../helpers/daemon-fixture.ts';
import { type IserdProcess, iserdPath, run, runOk } from '../helpers/programs.ts';
import type { Tgt } from '../helpers/tgt.ts';

const mebibyte = 2 ** 20;
const lunSizeBytes = 320 * mebibyte;

function writeRandomFile(path: string, sizeBytes: number): void {
  const chunk = Buffer.alloc(mebibyte);
  const fd = openSync(path, 'w');
  for (let written = 0; written < sizeBytes; written += chunk.length)
    writeSync(fd, randomFillSync(chunk));
  closeSync(fd);
}

function digestOf(path: string, sizeBytes: number): string {
  return createHash('sha256').update(readFileSync(path).subarray(0, sizeBytes)).digest('hex');
}

describe('NBD clients on iserd over TCP against tgt', function () {
  this.timeout(180_000);
  const suite = DaemonFixture.perSuite();
  let directory: string;
  let tgt: Tgt;
  let iserd: IserdProcess;
  let uri: string;

  before(async () => {
    directory = suite.directory();
    tgt = await suite.tgt({ luns: [{ sizeBytes: lunSizeBytes }] });
    ({ iserd, uri } = await suite.serve(tgt.urls[0]));
  });

  it('tells nbdinfo the size, the block sizes and what it can do', async () => {
    const { exports } = JSON.parse(await runOk('nbdinfo', ['--json', uri])) as {
      exports: Record<string, unknown>[];
    };
    expect(exports[0]).to.include(
      {
        'export-size': lunSizeBytes,
        is_read_only: false,
        can_flush: true,
        can_fua: true,
        // The logical unit is not thin provisioned.
        can_trim: false,
        can_zero: true,
        can_multi_conn: true,
        block_size_minimum: 512,
        block_size_maximum: 32 * mebibyte,
      },
      JSON.stringify(exports[0]),
    );
  });

  it('copies 256 MiB of random data there and back with equal checksums', async () => {
    const sizeBytes = 256 * mebibyte;
    const there = join(directory, 'there');
    const back = join(directory, 'back');
    writeRandomFile(there, sizeBytes);
    await runOk('nbdcopy', [there, uri]);
    await runOk('nbdcopy', [uri, back]);
    expect(digestOf(back, sizeBytes)).to.equal(digestOf(there, sizeBytes));
    await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', back, uri]);
  });

  it('serves nbdcopy by socket activation: nbdcopy [ iserd serve URL ] file', async () => {
    const file = join(directory, 'activated');
    await runOk('nbdcopy', ['[', process.execPath, iserdPath, 'serve', tgt.urls[0], ']', file]);
    await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', file, uri]);
  });

  it('verifies mixed sizes from 512 B to 2 MiB at depth 64 with fio', async () => {
    await runOk('fio', fioVerify(uri, 'mixed', 0), { cwd: directory });
  });

  it('verifies three clients at once on one volume', async () => {
    await Promise.all(
      [0, 1, 2].map((client) =>
        runOk('fio', fioVerify(uri, `client${client}`, client), { cwd: directory }),
      ),
    );
  });

  it('trims, zeroes, flushes and reads back with qemu-io', async () => {
    const commands = [
      'write -P 0xab 4k 64k',
      'read -P 0xab 4k 64k',
      'write -z 8k 8k',
      'read -P 0 8k 8k',
      'write -f -P 0xcd 1M 512k',
      'discard 2M 1M',
      'flush',
      'read -P 0xcd 1M 512k',
    ];
    const argv = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri];
    const { code, stdout, stderr } = await run('qemu-io', argv);
    expect(code, stdout + stderr).to.equal(0);
    expect(stdout + stderr).not.to.match(/failed|error|Pattern verification failed/i);
  });

  it('ends with exit code 0 after all that', async () => {
    const { code, stderr } = await iserd.stop();
    expect(code, stderr).to.equal(0);
  });
});

function fioVerify(uri: string, name: string, third: number): string[] {
  return [
    `--name=${name}`,
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=randwrite',
    '--bsrange=512-2m',
    '--iodepth=64',
    '--size=96m',
    `--offset=${third * 100}m`,
    '--io_size=192m',
    '--verify=crc32c',
    '--verify_fatal=1',
    '--serialize_overlap=1',
    `--randseed=${1000 + third}`,
  ];
}
