/**
 * The fault matrix: prints a table, writes it as JSON, and ends with 1 if a line is not as expected. It runs in the VM (run.sh).
 *
 *   matrix.ts [--quick] [--host] [--only WORD] [--list]
 *
 * --only takes the lines whose fault or way contains the word. --quick: each fault once, and shorter. --host: what any machine can
 * do, with tgt over TCP and without kernel devices.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { formatTable } from '../../daemon/cli/table.ts';
import { Bed } from './bed.ts';
import type { Row } from './line.ts';
import { selectLines } from './lines.ts';
import { runLine } from './run-line.ts';

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    host: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
  },
});
const { quick, host, only } = values;
const lines = selectLines({ quick, host, only });
if (values.list) {
  for (const { fault, way } of lines) console.log(`${fault.name} | ${way.name}`);
  process.exit(0);
}

const rows: Row[] = [];
const bed = host ? await Bed.onHost() : await Bed.inGuest();
for (const { fault, way } of lines) {
  const row = await runLine(bed, fault, way, quick);
  rows.push(row);
  console.log(`${row.asExpected ? '✔' : '✘'} ${row.fault}, ${row.way} (${row.lineSeconds} s)`);
}

const seconds = (ms: number | null): string => (ms === null ? '-' : (ms / 1000).toFixed(1));
console.log(
  `\n${formatTable(
    [
      'fault',
      'transport, target',
      'load',
      'outcome',
      'end',
      'detected s',
      'recovered s',
      'stall s',
      'writes',
      'failed',
      'MiB verified',
    ],
    rows.map((row) => [
      row.fault,
      row.way,
      row.load,
      row.outcome,
      row.end ?? '-',
      seconds(row.detectedMs),
      seconds(row.recoveredMs),
      seconds(row.longestStallMs),
      row.writesAcknowledged,
      row.writesFailed,
      (row.bytesVerified / 2 ** 20).toFixed(1),
    ]),
  )}\n`,
);
const directory = process.env['ISERD_VM_OUT'] ?? 'test/faults/results';
mkdirSync(directory, { recursive: true });
writeFileSync(
  `${directory}/faults${host ? '-host' : ''}${quick ? '-quick' : ''}.json`,
  `${JSON.stringify({ date: new Date().toISOString(), quick, only, rows }, undefined, 2)}\n`,
);
const failed = rows.filter(({ asExpected }) => !asExpected);
for (const { fault, way, outcome } of failed) console.log(`failed: ${fault}, ${way}: ${outcome}`);
console.log(`${rows.length - failed.length} passed, ${failed.length} failed, 0 skipped`);
await bed.close();
process.exit(failed.length > 0 || rows.length === 0 ? 1 : 0);
