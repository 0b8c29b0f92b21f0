/**
 * System calls and sleeps per request, of the daemon, of the target and of fio, on the host over TCP: iserd beside qemu-nbd.
 * Needs Debian's package linux-perf, whose tracepoints count without stopping anybody.
 *
 *   node --import tsx test/bench/crossings.ts [--seconds 3] [--only WORD]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { runOk } from '../helpers/programs.ts';
import { Tgt } from '../helpers/tgt.ts';
import { countCrossings, mountTracepoints, type Crossings } from './crossings/counting.ts';
import { figure } from './figures.ts';
import { measure } from './fio.ts';
import { cellName, grid, type Cell } from './grid.ts';
import { currentCommit, describeMachine } from './machine.ts';
import { resultsDirectory } from './results.ts';
import { startIserd } from './servers/iserd.ts';
import { startQemuNbd } from './servers/qemu-nbd.ts';
import type { Server } from './servers/server.ts';
import { markdownTable } from './table.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, only: { type: 'string', default: '' } },
});
const seconds = Number(values.seconds);
/** Compilers are warm after it, and fio, whose process is looked for then, has started. */
const settleSeconds = 2;
/** perf takes its time to open its events, and fio has to be there still when they are read. */
const graceSeconds = 4;
const sizeBytes = 64 * 2 ** 20;
/** System calls that are worth a word. */
const namedFrom = 0.05;

interface Row {
  readonly workload: string;
  readonly server: string;
  readonly iops: number;
  readonly processes: Readonly<Record<string, Crossings>>;
}

async function sample(server: Server, label: string, cell: Cell): Promise<Row> {
  const load = measure(server.disks, cell, {
    seconds: settleSeconds + seconds + graceSeconds,
    size: '64m',
  });
  await delay(settleSeconds * 1000);
  // Its job is a process of its own, the youngest.
  const fio = Number(await runOk('pgrep', ['--newest', '--exact', 'fio']));
  const pids = { [label]: server.pids[0], tgtd: tgt.pid, fio };
  const counted = await Promise.all(
    Object.entries(pids).map(
      async ([name, pid]) => [name, await countCrossings(pid, seconds)] as const,
    ),
  );
  const { iops } = await load;
  // Counting slows everybody down, so the rate without it says little: the target reads or writes its file once for each request.
  const { calls: ofTarget } = counted[1][1];
  const requests = (ofTarget['pread64'] ?? 0) + (ofTarget['pwrite64'] ?? 0);
  const processes = Object.fromEntries(
    counted.map(([name, { sleeps, calls }]) => [
      name,
      {
        sleeps: sleeps / requests,
        calls: Object.fromEntries(
          Object.entries(calls).map(([call, count]) => [call, count / requests]),
        ),
      },
    ]),
  );
  return { workload: cellName(cell), server: label, iops, processes };
}

function rowsOf({ workload, iops, processes }: Row): string[][] {
  return Object.entries(processes).map(([name, { sleeps, calls }]) => {
    const entries = Object.entries(calls).sort(([, a], [, b]) => b - a);
    const all = entries.reduce((sum, [, count]) => sum + count, 0);
    const named = entries.filter(([, count]) => count >= namedFrom);
    return [
      ...[workload, `${Math.round(iops)}`, name, figure(all), figure(sleeps)],
      named.map(([call, count]) => `${call} ${figure(count)}`).join(', '),
    ];
  });
}

// Disks would have their say otherwise.
process.env['TMPDIR'] ??= '/dev/shm';
await mountTracepoints();
const directory = mkdtempSync(join(tmpdir(), 'iserd-crossings-'));
const tgt = await Tgt.start({ luns: [{ sizeBytes }], swift: true });
const rows: Row[] = [];
const servers: Server[] = [];
try {
  writeFileSync(tgt.files[0], Buffer.alloc(sizeBytes), { flag: 'r+' });
  const volumes = {
    urls: tgt.urls,
    initiatorName: 'iqn.2026-11.test:bench',
    directory,
    tag: 'tcp',
  };
  servers.push(await startIserd(volumes), await startQemuNbd(volumes));
  for (const cell of grid('side-by-side', false).cells) {
    if (!cellName(cell).includes(values.only)) continue;
    for (const [index, label] of ['iserd', 'qemu-nbd'].entries()) {
      console.log(`${cellName(cell)}: ${label}`);
      rows.push(await sample(servers[index], label, cell));
    }
  }
} finally {
  for (const server of servers) await server.stop?.();
  await tgt.stop();
  rmSync(directory, { recursive: true });
}

const table = markdownTable(
  ['workload', 'IOPS', 'process', 'system calls per request', 'sleeps per request', 'which'],
  rows.flatMap(rowsOf),
);
console.log(table);
const machine = await describeMachine('this machine itself', await currentCommit());
const path = join(resultsDirectory(), 'crossings');
writeFileSync(`${path}.json`, `${JSON.stringify({ machine, seconds, rows }, undefined, 1)}\n`);
writeFileSync(`${path}.md`, `${table}\n`);
