/**
 * Where the daemon's time goes: `perf` samples it under each workload of the side-by-side table, on the host over TCP, and draws a
 * flame graph of each. Needs Debian's package linux-perf.
 *
 *   node --import tsx test/bench/flame.ts [--seconds 8] [--only WORD]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runOk } from '../helpers/programs.ts';
import { serversOf } from './field.ts';
import { flameSpec } from './flame/draw.ts';
import { foldStacks } from './flame/stacks.ts';
import { measure } from './fio.ts';
import { cellName, grid, type Cell } from './grid.ts';
import { openPlace, volumeMebibytes } from './places.ts';
import { svgOf } from './render.ts';
import { resultsDirectory } from './results.ts';

/** No multiple of anything periodic. */
const samplesPerSecond = 1997;
const warmUpSeconds = 3;

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '8' }, only: { type: 'string', default: '' } },
});
const seconds = Number(values.seconds);

async function sample(pid: number, cell: Cell, data: string): Promise<string> {
  const target = ['-p', `${pid}`, '--', 'sleep', `${seconds}`];
  await runOk('perf', ['record', '-q', '-F', `${samplesPerSecond}`, '-g', '-o', data, ...target]);
  console.log(`${cellName(cell)}: sampled for ${seconds} s`);
  return runOk('perf', ['script', '-F', 'comm,tid,ip,sym,dso', '-i', data]);
}

// V8 writes the names of what it compiles to /tmp/perf-PID.map, where perf looks for them.
process.env['NODE_OPTIONS'] = '--perf-basic-prof --interpreted-frames-native-stack';
const [ours] = serversOf('host', 'peers');
const open = await openPlace('host', [ours], 1);
const server = await open.start(ours);
const directory = mkdtempSync(join(tmpdir(), 'iserd-flame-'));
try {
  const [pid] = server.pids;
  for (const cell of grid('side-by-side', false).cells) {
    const name = cellName(cell);
    if (!name.includes(values.only)) continue;
    const options = { seconds: warmUpSeconds + seconds, size: `${volumeMebibytes}m` };
    const load = measure(server.disks, cell, options);
    await new Promise((resolve) => setTimeout(resolve, warmUpSeconds * 1000));
    const stacks = foldStacks(await sample(pid, cell, join(directory, 'perf.data')));
    const { iops } = await load;
    const subtitle = `iserd, host, TCP, tgt; ${Math.round(iops)} IOPS under perf; ${stacks.samples} samples at ${samplesPerSecond} Hz of CPU time`;
    const path = join(resultsDirectory(), `flame ${name}.svg`.replaceAll(' ', '-'));
    writeFileSync(path, await svgOf(flameSpec(stacks, name, subtitle)));
    console.log(path);
  }
} finally {
  await open.close([server]);
  rmSync(directory, { recursive: true });
}
