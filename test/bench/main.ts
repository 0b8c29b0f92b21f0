/** `npm run bench`: measures the places in turn, then writes tables and charts of all that have been measured. See README.md. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { repository } from '../helpers/programs.ts';
import { grid } from './grid.ts';
import { currentCommit, describeMachine } from './machine.ts';
import { measurePlace } from './measuring.ts';
import { parseOptions, usage, type BenchOptions } from './options.ts';
import { serversOf } from './field.ts';
import { isInGuest, type GuestPlaceName, type PlaceName } from './places.ts';
import { report } from './report.ts';
import { runDirectory } from './results.ts';

/** Of a cell and server in the guest besides fio's own seconds, at worst; and of boot and start of the servers. */
const guestCellSeconds = 15;
const guestStartSeconds = 1200;
const guestMemoryMebibytes = 5120;

async function runInGuest(
  place: GuestPlaceName,
  options: BenchOptions,
  commit: string,
): Promise<number> {
  const { rounds, seconds, grid: gridName, field, quick } = options;
  const steps = rounds * grid(gridName, quick).cells.length * serversOf(place, field).length;
  const limit = guestStartSeconds + steps * (seconds + guestCellSeconds);
  const argument = JSON.stringify({ place, commit, grid: gridName, field, quick, rounds, seconds });
  const child = spawn(
    'test/vm/run.sh',
    [
      ...['-m', `${guestMemoryMebibytes}`, '-t', `${limit}`, '-o', runDirectory(options)],
      ...['test/vm/guest/prepared.sh', 'node', '--import', 'tsx', 'test/bench/in-guest.ts'],
      argument,
    ],
    {
      cwd: repository,
      stdio: 'inherit',
      env: { ...process.env, ISERD_VM_ENV: `${process.env['ISERD_VM_ENV'] ?? ''} ISERD_VM_ACCEL` },
    },
  );
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

async function runHere(place: PlaceName, options: BenchOptions, commit: string): Promise<void> {
  const machine = await describeMachine('this machine itself', commit);
  await measurePlace({ ...options, place, machine, directory: runDirectory(options) });
}

async function main(options: BenchOptions): Promise<void> {
  const commit = await currentCommit();
  for (const place of options.chartsOnly ? [] : options.places) {
    if (isInGuest(place)) {
      const code = await runInGuest(place, options, commit);
      // The others are still worth having.
      if (code !== 0) {
        console.error(`${place}: the guest ended with status ${code}`);
        process.exitCode = 1;
      }
    } else {
      await runHere(place, options, commit);
    }
  }
  await report(options);
}

let options: BenchOptions | undefined;
try {
  options = parseOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n${usage}`);
  process.exitCode = 2;
}
if (options !== undefined) await main(options);
