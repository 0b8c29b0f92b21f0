/** What Linux says about a block device, and programs that do I/O on it. */
import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { run, runOk } from '../../helpers/programs.ts';

export function isAttached(device: string): boolean {
  return existsSync(`/sys/block/${basename(device)}/pid`);
}

export function sizeOf(device: string): number {
  return Number(readFileSync(`/sys/block/${basename(device)}/size`, 'utf8')) * 512;
}

export function queueAttribute(device: string, name: string): string {
  return readFileSync(`/sys/block/${basename(device)}/queue/${name}`, 'utf8').trim();
}

/** Writes that the device has completed since it was attached (Documentation/block/stat.rst, field 5). */
export function completedWrites(device: string): number {
  return Number(
    readFileSync(`/sys/block/${basename(device)}/stat`, 'utf8')
      .trim()
      .split(/\s+/)[4],
  );
}

/** Processes in uninterruptible sleep, by command name: somebody waits for I/O that does not end. */
export async function waitingProcesses(): Promise<string[]> {
  const listing = await runOk('ps', ['-eo', 'state=,comm=']);
  return listing
    .split('\n')
    .filter((line) => line.startsWith('D'))
    .map((line) => line.slice(1).trim());
}

/** Sizes that a test writes, by share of requests in per cent: most requests small, some above every limit of a single one. */
export const mixedSizes = '512/30:4k/30:16k/10:64k/12:256k/8:512k/6:1m/4';

export interface FioOptions {
  readonly sizeBytes: number;
  readonly offsetBytes?: number;
  readonly sizes?: string;
  readonly depth?: number;
  readonly jobs?: number;
  readonly extra?: readonly string[];
}

/** Arguments for writing `sizeBytes` in random order past the page cache, then reading them back with checksums. */
export function fioVerify(device: string, options: FioOptions): string[] {
  const { sizeBytes, offsetBytes = 0, sizes = mixedSizes, depth = 16, jobs = 1 } = options;
  return [
    '--name=verify',
    `--filename=${device}`,
    '--ioengine=libaio',
    '--direct=1',
    '--rw=randwrite',
    `--bssplit=${sizes}`,
    '--bs_unaligned=0',
    `--iodepth=${depth}`,
    `--size=${sizeBytes}`,
    `--offset=${offsetBytes}`,
    ...(jobs === 1 ? [] : [`--numjobs=${jobs}`, `--offset_increment=${sizeBytes}`]),
    '--verify=crc32c',
    '--verify_fatal=1',
    '--verify_state_save=0',
    '--serialize_overlap=1',
    '--randrepeat=1',
    '--thread',
    ...(options.extra ?? []),
  ];
}

/** One read(2) or write(2) of exactly `bytes` past the page cache. */
export async function directWrite(
  device: string,
  file: string,
  bytes: number,
  offset: number,
): Promise<void> {
  await runOk('dd', [
    `if=${file}`,
    `of=${device}`,
    `bs=${bytes}`,
    'count=1',
    'iflag=fullblock',
    'oflag=direct,seek_bytes',
    `seek=${offset}`,
    'conv=notrunc',
    'status=none',
  ]);
}

export async function directRead(
  device: string,
  file: string,
  bytes: number,
  offset: number,
): Promise<void> {
  await runOk('dd', [
    `if=${device}`,
    `of=${file}`,
    `bs=${bytes}`,
    'count=1',
    'iflag=direct,skip_bytes',
    `skip=${offset}`,
    'status=none',
  ]);
}

/** Runs qemu-io commands on an export; the output of all. Any failure is an error. */
export async function qemuIo(uri: string, commands: readonly string[]): Promise<string> {
  const argv = ['-f', 'raw', '-d', 'unmap', ...commands.flatMap((command) => ['-c', command]), uri];
  const { code, stdout, stderr } = await run('qemu-io', argv);
  const output = stdout + stderr;
  if (code !== 0 || /failed|error|Pattern verification/i.test(output))
    throw new Error(`qemu-io ${commands.join('; ')}: exit ${code}\n${output}`);
  return output;
}
