/** An ext4 with a program that writes to it all the time, and the account of what it must hold in the end. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { mkdirSync } from 'node:fs';
import { runOk } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { check, fileSystems, make } from './file-system.ts';
import type { Report } from './file-writer.ts';

const [ext4] = fileSystems;
const program = ['--import', 'tsx', 'test/vm/guest/file-writer.ts'];

export class BusyFileSystem {
  readonly #device: string;
  readonly #directory: string;
  readonly #writer: ChildProcess;
  readonly #ended: Promise<void>;
  #written = 0;
  #report = '';
  #log = '';

  private constructor(device: string, directory: string) {
    this.#device = device;
    this.#directory = directory;
    this.#writer = spawn(process.execPath, [...program, directory], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    if (this.#writer.stdout !== null) {
      createInterface({ input: this.#writer.stdout }).on('line', (line) => {
        if (line.startsWith('{')) this.#report = line;
        else this.#written = Number(line);
      });
    }
    this.#writer.stderr?.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
    this.#ended = new Promise((resolve) => {
      this.#writer.on('close', () => {
        resolve();
      });
    });
  }

  /** Makes the file system, mounts it on `directory`, starts to write. */
  static async start(device: string, directory: string): Promise<BusyFileSystem> {
    await make(ext4, device);
    mkdirSync(directory);
    await runOk('mount', [device, directory]);
    const busy = new BusyFileSystem(device, directory);
    await busy.progress(60_000);
    return busy;
  }

  /** Resolves when more has been acknowledged; the milliseconds that took. */
  async progress(timeoutMs: number): Promise<number> {
    const started = performance.now();
    const before = this.#written;
    await waitUntil(
      'the file system acknowledges writes',
      () => {
        if (this.#writer.exitCode !== null) throw new Error(`the writer has ended: ${this.#log}`);
        return this.#written > before;
      },
      timeoutMs,
    );
    return performance.now() - started;
  }

  /** Ends the writer, unmounts, checks the file system and everything that was acknowledged. */
  async finish(): Promise<Report> {
    this.#writer.stdin?.end();
    await this.#ended;
    if (this.#report === '') throw new Error(`the writer has failed: ${this.#log}`);
    await runOk('umount', [this.#directory]);
    await check(ext4, this.#device);
    await runOk('mount', ['-o', 'ro', this.#device, this.#directory]);
    try {
      await runOk(process.execPath, [...program, this.#directory, this.#report]);
    } finally {
      await runOk('umount', [this.#directory]);
    }
    return JSON.parse(this.#report) as Report;
  }

  /** For hooks: whatever state it is in. */
  async abandon(): Promise<void> {
    this.#writer.kill('SIGKILL');
    await runOk('umount', ['--lazy', this.#directory]).catch(() => undefined);
  }
}
