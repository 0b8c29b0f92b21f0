import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

const thread = new URL('./native-lifecycle-thread.ts', import.meta.url);
const openDescriptors = (): number => readdirSync('/proc/self/fd').length;

// A worker does not inherit the loader that lets the main thread run TypeScript.
const bootstrap = `import(${JSON.stringify(import.meta.resolve('tsx/esm/api'))})
  .then(({ register }) => (register(), import(${JSON.stringify(thread.href)})))`;

/** Runs the thread in a worker; resolves with its exit code. */
async function runWorker(ending: string, rounds: number): Promise<number> {
  const worker = new Worker(bootstrap, { eval: true, workerData: [ending, rounds] });
  const exited = once(worker, 'exit') as Promise<[number]>;
  const [message] = await Promise.race([once(worker, 'message') as Promise<[string]>, exited]);
  expect(message).to.equal('echoed');
  if (ending === 'stay') await worker.terminate();
  return (await exited)[0];
}

describe('native lifecycle', function () {
  this.timeout(60_000);

  for (const ending of ['close', 'idle'])
    it(`lets a process end by itself (${ending})`, async () => {
      const child = spawn(process.execPath, ['--import', 'tsx', fileURLToPath(thread), ending], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let errors = '';
      child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
      const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
      expect([code, signal], errors).to.deep.equal([0, null]);
    });

  it('serves several workers at once, each with its own reactor', async () => {
    const codes = await Promise.all([runWorker('close', 1000), runWorker('close', 1000)]);
    expect(codes).to.deep.equal([0, 0]);
  });

  it('closes everything, descriptors included, when a worker ends without closing', async () => {
    await runWorker('close', 1);
    const before = openDescriptors();
    expect(await runWorker('abandon', 10)).to.equal(0);
    expect(openDescriptors()).to.equal(before);
  });

  it('closes everything, descriptors included, when a worker is terminated', async () => {
    const before = openDescriptors();
    expect(await runWorker('stay', 10)).to.equal(1);
    expect(openDescriptors()).to.equal(before);
  });

  it('lets a worker end by itself while its reactor is open without objects', async () => {
    expect(await runWorker('idle', 0)).to.equal(0);
  });
});
