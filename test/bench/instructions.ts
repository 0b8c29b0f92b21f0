/**
 * How many instructions a request costs, in a guest whose clock counts them: what a change of the code costs or saves can be told on
 * a machine too noisy for time. See README.md, and options.ts for the options.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../helpers/programs.ts';
import { contendersOf } from './instructions/contenders.ts';
import { parseOptions, usage, type InstructionOptions } from './instructions/options.ts';
import { markdown } from './instructions/report.ts';
import { loadResult } from './instructions/samples.ts';
import { workloadsWith } from './instructions/workloads.ts';
import { currentCommit } from './machine.ts';
import { resultsDirectory } from './results.ts';

/** Of boot, of a server's start with its warm-up, and of a workload with 1000 requests, at worst. */
const bootSeconds = 600;
const startSeconds = 240;
const workloadSeconds = 60;

function timeLimit({ rounds, requests, only, ...who }: InstructionOptions): number {
  const servers = rounds * contendersOf(who).length;
  const perWorkload = workloadSeconds * Math.max(1, requests / 1000);
  return Math.ceil(
    bootSeconds + servers * (startSeconds + workloadsWith(only).length * perWorkload),
  );
}

async function runInGuest(options: InstructionOptions, directory: string): Promise<number> {
  const argument = JSON.stringify({ ...options, commit: await currentCommit() });
  const child = spawn(
    'test/vm/run.sh',
    [
      ...['-i', '-t', `${timeLimit(options)}`, '-o', directory],
      ...['test/vm/guest/prepared.sh', 'node', '--import', 'tsx'],
      ...['test/bench/instructions/in-guest.ts', argument],
    ],
    { cwd: repository, stdio: 'inherit' },
  );
  const [code] = (await once(child, 'exit')) as [number | null];
  return code ?? 1;
}

/** @throws Error that says what is not built */
function checkTrees({ trees }: InstructionOptions): void {
  for (const { directory } of trees)
    for (const part of ['dist/bin/iserd.js', 'native/build/Release/iserd.node'])
      if (!existsSync(join(directory, part))) throw new Error(`--tree: no ${part} in ${directory}`);
}

async function main(options: InstructionOptions): Promise<void> {
  const directory = join(resultsDirectory(), 'instructions');
  const code = await runInGuest(options, directory);
  if (code !== 0) {
    console.error(`the guest ended with status ${code}`);
    process.exitCode = 1;
    return;
  }
  const text = markdown(loadResult(directory));
  writeFileSync(join(directory, 'table.md'), text);
  console.log(`\n${text}\n${directory}: JSON, table.md`);
}

let options: InstructionOptions | undefined;
try {
  const parsed = parseOptions(process.argv.slice(2));
  checkTrees(parsed);
  options = parsed;
} catch (error) {
  console.error(`${(error as Error).message}\n${usage}`);
  process.exitCode = 2;
}
if (options !== undefined) await main(options);
