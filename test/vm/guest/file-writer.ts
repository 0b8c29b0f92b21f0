/**
 * A program: writes files in a directory until its standard input ends, and keeps account of what the file system has acknowledged.
 *
 *   node --import tsx file-writer.ts DIRECTORY          prints the number of files written now and then, and at last a Report
 *   node --import tsx file-writer.ts DIRECTORY REPORT   compares: fails when a file is not the acknowledged version, or a newer one
 */
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';

export interface Report {
  /** Last acknowledged version of every file. */
  readonly versions: readonly number[];
  readonly written: number;
  /** Milliseconds. */
  readonly longestWrite: number;
}

const writers = 4;
const filesOfWriter = 4;
const fileBytes = 128 * 1024;

/** Words that depend on file and version, after these two. */
function content(file: number, version: number): Buffer {
  const words = new Uint32Array(fileBytes / 4);
  let state = Math.imul(file + 1, 0x9e37_79b9) ^ Math.imul(version + 1, 0x85eb_ca6b);
  for (let i = 2; i < words.length; i++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    words[i] = state;
  }
  words[0] = file;
  words[1] = version;
  return Buffer.from(words.buffer);
}

/** As a careful program replaces a file: acknowledged when this resolves. */
async function replace(directory: string, file: number, version: number): Promise<void> {
  const path = join(directory, `file${file}`);
  const draft = await open(`${path}.new`, 'w');
  await draft.writeFile(content(file, version));
  await draft.sync();
  await draft.close();
  await rename(`${path}.new`, path);
  const folder = await open(directory, 'r');
  await folder.sync();
  await folder.close();
}

async function write(directory: string): Promise<Report> {
  const versions = new Array<number>(writers * filesOfWriter).fill(0);
  const report = { versions, written: 0, longestWrite: 0 };
  const ending = new AbortController();
  process.stdin
    .on('end', () => {
      ending.abort();
    })
    .resume();
  const writer = async (first: number): Promise<void> => {
    for (let i = 0; !ending.signal.aborted; i++) {
      const file = first + (i % filesOfWriter);
      const started = performance.now();
      await replace(directory, file, versions[file] + 1);
      versions[file]++;
      report.longestWrite = Math.max(report.longestWrite, performance.now() - started);
      if (++report.written % writers === 0) console.log(report.written);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, i) => writer(i * filesOfWriter)));
  return report;
}

async function compare(directory: string, { versions }: Report): Promise<void> {
  for (const [file, acknowledged] of versions.entries()) {
    if (acknowledged === 0) continue;
    const found = await readFile(join(directory, `file${file}`));
    const version = found.readUInt32LE(4);
    if (version < acknowledged || !found.equals(content(file, version)))
      throw new Error(`file${file}: version ${version}, ${acknowledged} was acknowledged`);
  }
}

const [directory, report = ''] = process.argv.slice(2);
if (report === '') console.log(JSON.stringify(await write(directory)));
else await compare(directory, JSON.parse(report) as Report);
