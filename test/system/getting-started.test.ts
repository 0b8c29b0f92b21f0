/** Runs the commands of packaging/doc/getting-started.md as they stand there, as a reader would: every ```sh block, in order. */
import { expect } from 'chai';
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { iserctlPath, iserdPath, repository } from '../helpers/programs.ts';
import { targets } from '../vm/guest/machine.ts';
import { Shell } from '../vm/guest/shell.ts';

interface Block {
  readonly text: string;
  /** Runs until it is stopped, in a terminal of its own. */
  readonly serves: boolean;
}

/** What differs here from the reader's machine: addresses of the guest, in which tgt runs already. */
const differences: readonly (readonly [string, string])[] = [
  ['address=127.0.0.1', 'address=10.9.9.1'],
  ['address=10.0.0.5', 'address=10.9.7.1'],
  ['interface=eth0', 'interface=try0'],
];

function blocks(): Block[] {
  const page = readFileSync(`${repository}packaging/doc/getting-started.md`, 'utf8');
  return [...page.matchAll(/^```sh((?: serve)?)\n(.*?)^```$/gms)].map(([, serve, body]) => ({
    text: differences.reduce((text, [theirs, ours]) => text.replace(theirs, ours), body),
    serves: serve !== '',
  }));
}

describe('the commands of getting-started.md', function () {
  this.timeout(300_000);
  let directory: string;
  let terminal: Shell;
  let server: ChildProcess | undefined;

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'iserd-try-'));
    for (const [name, path] of [
      ['iserd', iserdPath],
      ['iserctl', iserctlPath],
    ]) {
      writeFileSync(join(directory, name), `#!/bin/sh\nexec ${process.execPath} ${path} "$@"\n`);
      chmodSync(join(directory, name), 0o755);
    }
    const profile = join(directory, 'profile');
    writeFileSync(profile, `PATH=${directory}:$PATH\n`);
    terminal = new Shell(profile);
    await targets.run('ip link add try0 type veth peer name try1');
    await targets.run('ip address add 10.9.7.1/24 dev try0');
    await targets.run('ip link set try0 up && ip link set try1 up');
  });

  after(async () => {
    await stopServer();
    await terminal.close();
    await targets.run('tgtadm --lld iscsi --op delete --mode target --tid 101 --force || true');
    await targets.run('tgtadm --lld iser --op delete --mode target --tid 102 --force || true');
    // The soft-RoCE device stays: tgtd keeps it open, and its removal would wait for that.
    rmSync(directory, { recursive: true });
  });

  async function stopServer(): Promise<void> {
    const child = server;
    server = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('close', resolve));
    child.kill('SIGINT');
    await ended;
  }

  /** As in another terminal, with the variables that the reader has set; resolves when it is ready. */
  async function startServer(text: string): Promise<void> {
    await stopServer();
    const variables = await terminal.run('declare -p address');
    const script = `PATH=${directory}:$PATH\n${variables}\n${text.replace(/^iserd /m, 'exec iserd ')}`;
    const child = spawn('bash', ['-ec', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    server = child;
    let log = '';
    child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
    await new Promise<void>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('ready ')) resolve();
      });
      child.once('close', () => {
        reject(new Error(`${text} has ended:\n${log}`));
      });
    });
  }

  it('work in this order', async () => {
    const all = blocks();
    expect(all.filter(({ serves }) => serves)).to.have.length(3);
    const printed: string[] = [];
    for (const { text, serves } of all) {
      if (serves) await startServer(text);
      else for (const line of text.trim().split('\n')) printed.push(await terminal.run(line));
    }
    await stopServer();
    const transcript = printed.join('');
    expect(transcript).to.contain('iqn.2026-11.org.example:disk');
    expect(transcript).to.contain('login to iqn.2026-11.org.example:rdma LUN 1 works');
    expect(transcript).to.contain('4 KiB random read, depth 32');
    expect(transcript).to.match(/^hello$/m);
  });
});
