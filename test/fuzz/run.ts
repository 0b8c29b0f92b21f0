/**
 * The fuzzers for as long as one likes:
 *
 *   node --import tsx test/fuzz/run.ts [--seconds N] [--seed S] [--only NAME[,NAME]] [--directory DIR] [--replay FILE]
 *
 * Prints executions per second of every target, also when ended early by SIGTERM. A failure is written to DIR with its seed, iteration and input, and the fuzzer goes on
 * behind it; `--replay` runs such a file again.
 */
import { tmpdir } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { allTargets } from './targets/index.ts';
import type { FuzzTarget } from './fuzz-target.ts';
import { maximumInputLength } from './mutate.ts';
import { readReproducer, writeReproducer } from './reproducer.ts';
import { fuzz } from './runner.ts';

const hangMs = 20_000;
/** Each target gets a turn of this length, round after round: a short run sees all of them. */
const turnMs = 5000;
const inputOffset = 16;
/** Of one target, after which it is left alone: they are likely to be the same one. */
const maximumFailures = 5;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
    replay: { type: 'string' },
  },
});

interface Tally {
  readonly target: FuzzTarget;
  readonly index: number;
  executions: number;
  milliseconds: number;
  failures: number;
}

async function replay(path: string): Promise<number> {
  const { target: name, hex } = readReproducer(path);
  const target = (await allTargets()).find((each) => each.name === name);
  if (target === undefined) throw new Error(`no fuzz target ${name}`);
  try {
    await target.run(Uint8Array.from(Buffer.from(hex, 'hex')));
  } catch (error) {
    console.log(error);
    return 1;
  }
  console.log(`${name}: the property holds`);
  return 0;
}

/** Tells the watchdog what is being run. */
function progressReporter(shared: SharedArrayBuffer) {
  const header = new Int32Array(shared, 0, 4);
  const bytes = new Uint8Array(shared, inputOffset);
  return (target: number, iteration: number, input: Uint8Array): void => {
    header[1] = target;
    header[2] = iteration;
    header[3] = input.length;
    bytes.set(input);
    Atomics.add(header, 0, 1);
  };
}

async function takeTurn(tally: Tally, seed: number, report: ReturnType<typeof progressReporter>) {
  const { failure, executions, milliseconds } = await fuzz(tally.target, {
    seed,
    firstIteration: tally.executions,
    milliseconds: turnMs,
    onInput: (iteration, input) => {
      report(tally.index, iteration, input);
    },
  });
  tally.executions += executions;
  tally.milliseconds += milliseconds;
  if (failure === undefined) return;
  tally.failures++;
  const { target, iteration, input, error } = failure;
  const hex = Buffer.from(input).toString('hex');
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  const path = writeReproducer(values.directory, { target, seed, iteration, hex, error: text });
  console.log(`${target}: ${text.split('\n')[0].slice(0, 200)}: ${path}`);
}

async function run(): Promise<number> {
  const seed = Number(values.seed);
  const wanted = values.only?.split(',');
  const all = await allTargets();
  const tallies: Tally[] = all
    .map((target, index) => ({ target, index, executions: 0, milliseconds: 0, failures: 0 }))
    .filter(({ target }) => wanted === undefined || wanted.includes(target.name));
  if (tallies.length === 0) throw new Error(`no fuzz target ${values.only}`);
  const shared = new SharedArrayBuffer(inputOffset + maximumInputLength);
  const watchdog = new Worker(new URL('./watchdog.mjs', import.meta.url), {
    workerData: {
      shared,
      names: all.map(({ name }) => name),
      seed,
      directory: values.directory,
      timeLimitMs: hangMs,
    },
    execArgv: [],
  });
  watchdog.unref();
  const report = progressReporter(shared);
  let end = performance.now() + Number(values.seconds) * 1000;
  process.once('SIGTERM', () => {
    end = 0;
  });
  while (performance.now() < end) {
    const live = tallies.filter(({ failures }) => failures < maximumFailures);
    if (live.length === 0) break;
    for (const tally of live) {
      if (performance.now() < end) await takeTurn(tally, seed, report);
    }
  }
  let sum = 0;
  for (const { target, executions, milliseconds, failures } of tallies) {
    sum += executions;
    const rate = Math.round((executions / Math.max(1, milliseconds)) * 1000);
    console.log(
      `${target.name.padEnd(20)} ${String(executions).padStart(10)} executions ${String(rate).padStart(8)}/s  ${failures} failures`,
    );
  }
  console.log(`seed ${seed}: ${sum} executions`);
  await watchdog.terminate();
  return tallies.some(({ failures }) => failures > 0) ? 1 : 0;
}

process.exitCode = values.replay === undefined ? await run() : await replay(values.replay);
