import { expect } from 'chai';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** Runs one of the scripts beside this file in a process of its own, which must end by itself; resolves with its output. */
async function run(script: string, ...values: string[]): Promise<string> {
  const path = fileURLToPath(new URL(script, import.meta.url));
  // Empty, for Node hands on what is absent. Workers load the sources another way, and their coverage does not merge.
  const env = { ...process.env, NODE_V8_COVERAGE: '' };
  const child = spawn(process.execPath, ['--import', 'tsx', path, ...values], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  expect([code, signal], errors).to.deep.equal([0, null]);
  return output;
}

async function runWorkers(ending: string, rounds: number, count: number): Promise<unknown> {
  return JSON.parse(
    await run('./native-lifecycle-host.ts', ending, String(rounds), String(count)),
  ) as unknown;
}

describe('native lifecycle', function () {
  this.timeout(60_000);

  it('lets a process end by itself after everything is closed', () =>
    run('./native-lifecycle-thread.ts', 'close'));

  it('lets a process end by itself while a reactor is open without objects', () =>
    run('./native-lifecycle-thread.ts', 'idle'));

  it('serves several workers at once, each with its own reactor', async () => {
    expect(await runWorkers('close', 1000, 2)).to.deep.equal({ codes: [0, 0], leaked: 0 });
  });

  it('closes everything, descriptors included, when a worker ends without closing', async () => {
    expect(await runWorkers('abandon', 10, 1)).to.deep.equal({ codes: [0], leaked: 0 });
  });

  it('closes everything, descriptors included, when a worker is terminated', async () => {
    expect(await runWorkers('stay', 10, 1)).to.deep.equal({ codes: [1], leaked: 0 });
  });

  it('lets a worker end by itself while its reactor is open without objects', async () => {
    expect(await runWorkers('idle', 0, 1)).to.deep.equal({ codes: [0], leaked: 0 });
  });
});
