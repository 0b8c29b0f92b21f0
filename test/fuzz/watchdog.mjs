/**
 * A thread that sees to it that a hang is found: when the fuzzing thread makes no progress for too long, its last input becomes a
 * reproducer and the process ends. Shared memory: progress counter, target index, iteration, input length | input.
 */
import { writeFileSync } from 'node:fs';
import { workerData } from 'node:worker_threads';

const { shared, names, seed, directory, timeLimitMs } = workerData;
const header = new Int32Array(shared, 0, 4);
let last = -1;
let since = Date.now();

setInterval(() => {
  const now = Atomics.load(header, 0);
  if (now !== last) {
    last = now;
    since = Date.now();
  } else if (Date.now() - since >= timeLimitMs) {
    const target = names[header[1]];
    const iteration = header[2];
    const input = Buffer.from(new Uint8Array(shared, 16, header[3]));
    const path = `${directory}/fuzz-${target}-${seed}-${iteration}.json`;
    const error = `no end after ${timeLimitMs} ms`;
    const reproducer = { target, seed, iteration, hex: input.toString('hex'), error };
    writeFileSync(path, `${JSON.stringify(reproducer, undefined, 2)}\n`);
    console.error(`${target}: ${error}: ${path}`);
    process.kill(process.pid, 'SIGKILL');
  }
}, 250);
