/** Compares the registration strategies in the VM: see README.md, and strategies/options.ts for the options. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../helpers/programs.ts';
import { currentCommit } from './machine.ts';
import {
  parseStrategiesOptions,
  usage,
  type GuestPart,
  type StrategiesOptions,
} from './strategies/options.ts';
import { planOf, type PartName } from './strategies/plan.ts';
import { loadAll, strategiesDirectory } from './strategies/results.ts';
import { strategiesMarkdown } from './strategies/table.ts';

const guestMemoryMebibytes = 6144;
/** Of boot, target and daemons at worst; of a measurement besides its own seconds; of the logins of a volume. */
const startSeconds = 900;
const cellSeconds = 30;
const volumeSeconds = 10;

async function runInGuest(part: PartName, options: StrategiesOptions): Promise<number> {
  const { rounds, seconds, add, quick, only, volumes } = options;
  const commit = await currentCommit();
  const argument: GuestPart = { part, commit, rounds, seconds, add, quick, only, volumes };
  const child = spawn(
    'test/vm/run.sh',
    [
      ...['-m', `${guestMemoryMebibytes}`, '-t', `${limitSeconds(part, options)}`],
      ...['-o', strategiesDirectory(quick), 'test/vm/guest/prepared.sh'],
      ...['node', '--import', 'tsx', 'test/bench/strategies/in-guest.ts', JSON.stringify(argument)],
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

function limitSeconds(part: PartName, options: StrategiesOptions): number {
  if (part === 'registration') return startSeconds;
  const { contenders, cells } = planOf(part, options);
  const ofRound = cells.reduce(
    (sum, { volumes }) => sum + options.seconds + cellSeconds + volumes * volumeSeconds,
    0,
  );
  return startSeconds + options.rounds * contenders.length * ofRound;
}

async function main(options: StrategiesOptions): Promise<void> {
  for (const part of options.tableOnly ? [] : options.parts) {
    const code = await runInGuest(part, options);
    // The others are still worth having.
    if (code === 0) continue;
    console.error(`${part}: the guest ended with status ${code}`);
    process.exitCode = 1;
  }
  const directory = strategiesDirectory(options.quick);
  const text = strategiesMarkdown(loadAll(directory));
  writeFileSync(join(directory, 'table.md'), text);
  console.log(`\n${text}\n${directory}: JSON, table.md`);
}

let options: StrategiesOptions | undefined;
try {
  options = parseStrategiesOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${(error as Error).message}\n${usage}`);
  process.exitCode = 2;
}
if (options !== undefined) await main(options);
