/**
 * Run as `native-lifecycle-host.ts ENDING ROUNDS COUNT`: that many workers at once, each ending as native-lifecycle-thread.ts
 * says. Prints {codes, leaked}: their exit codes, and how many descriptors are open more than before.
 */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

const thread = new URL('./native-lifecycle-thread.ts', import.meta.url);
// A worker does not inherit the loader that lets the main thread run TypeScript.
const bootstrap = `import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))})
  .then(({ register }) => (register(), import(${JSON.stringify(thread.href)})))`;
const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

async function runWorker(ending: string, rounds: number): Promise<number> {
  const worker = new Worker(bootstrap, { eval: true, workerData: [ending, rounds] });
  const exited = once(worker, 'exit') as Promise<[number]>;
  const [message] = await Promise.race([once(worker, 'message') as Promise<[string]>, exited]);
  if (message !== 'echoed') throw new Error(`worker ended early: ${message}`);
  if (ending === 'stay') await worker.terminate();
  return (await exited)[0];
}

const [ending, rounds, count] = process.argv.slice(2);
await runWorker('close', 1); // what a first worker leaves open in the process is not the reactor's
const before = openDescriptors();
const codes = await Promise.all(
  Array.from({ length: Number(count) }, () => runWorker(ending, Number(rounds))),
);
console.log(JSON.stringify({ codes, leaked: openDescriptors() - before }));
