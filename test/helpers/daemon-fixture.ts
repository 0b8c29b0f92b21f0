/**
 * What an integration test starts and leaves behind: every process and directory is registered for removal where it is made, and
 * goes newest first, also when the test has failed.
 */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { statusSchema, type Status } from '../../daemon/control/protocol.ts';
import { callControl } from '../../daemon/control/client.ts';
import { iserctlPath, iserdPath, IserdProcess, run, runOk, type Finished } from './programs.ts';
import { Tgt, type TgtOptions } from './tgt.ts';

export const mebibyte = 2 ** 20;

/** A process whose output is collected. */
export class Watched {
  readonly child: ChildProcess;
  /** Resolves when it has ended and its output is complete. */
  readonly ended: Promise<Finished>;
  stdout = '';
  stderr = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }
}

export class DaemonFixture {
  readonly #cleanups: (() => unknown)[] = [];

  /** One for each test, cleaned up after it. */
  static perTest(): DaemonFixture {
    const fixture = new DaemonFixture();
    afterEach(() => fixture.cleanUp());
    return fixture;
  }

  /** One for the whole suite, cleaned up after it. */
  static perSuite(): DaemonFixture {
    const fixture = new DaemonFixture();
    after(() => fixture.cleanUp());
    return fixture;
  }

  /** Registers something to undo. */
  onCleanUp(action: () => unknown): void {
    this.#cleanups.push(action);
  }

  async cleanUp(): Promise<void> {
    const errors: unknown[] = [];
    for (let action = this.#cleanups.pop(); action !== undefined; action = this.#cleanups.pop()) {
      try {
        await action();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, errors.map(String).join('; '));
  }

  directory(): string {
    const path = mkdtempSync(join(tmpdir(), 'iserd-test-'));
    this.onCleanUp(() => {
      rmSync(path, { recursive: true, force: true });
    });
    return path;
  }

  /** A file of its own with this text; `mode` as in chmod(1). */
  file(text: string, mode = 0o600): string {
    const path = join(this.directory(), 'file');
    writeFileSync(path, text, { mode });
    return path;
  }

  async tgt(options: TgtOptions): Promise<Tgt> {
    const tgt = await Tgt.start(options);
    this.onCleanUp(() => tgt.stop());
    return tgt;
  }

  /** Any program; killed at the end of the test if it still runs. */
  spawn(
    program: string,
    argv: readonly string[],
    stdio: StdioOptions = ['ignore', 'pipe', 'pipe'],
    env: NodeJS.ProcessEnv = process.env,
  ): Watched {
    const child = spawn(program, argv, { stdio, env });
    this.#killLater(child);
    return new Watched(child);
  }

  /** A daemon that is ready. */
  iserd(...argv: readonly string[]): Promise<IserdProcess> {
    return IserdProcess.start(argv, (child) => {
      this.#killLater(child);
    });
  }

  /** `iserd serve URL …` on a Unix socket, with a control socket. */
  async serve(url: string, ...options: readonly string[]): Promise<ServingDaemon> {
    const directory = this.directory();
    const control = join(directory, 'control');
    const fronts = ['--socket', join(directory, 'nbd'), '--control-socket', control];
    const iserd = await this.iserd('serve', url, ...fronts, ...options);
    return new ServingDaemon(iserd, iserd.uri ?? '', control);
  }

  #killLater(child: ChildProcess): void {
    this.onCleanUp(async () => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    });
  }
}

/** A running daemon with a control socket. */
export class ServingDaemon {
  readonly iserd: IserdProcess;
  /** Of its first volume. */
  readonly uri: string;
  readonly control: string;

  constructor(iserd: IserdProcess, uri: string, control: string) {
    this.iserd = iserd;
    this.uri = uri;
    this.control = control;
  }

  /** Path of its NBD socket. */
  get socket(): string {
    return this.uri.replace(/^.*\?socket=/, '');
  }

  async status(): Promise<Status> {
    return statusSchema.parse(await callControl(this.control, 'status'));
  }

  /** Descriptors that the process has open. */
  get openFds(): number {
    return readdirSync(`/proc/${this.iserd.child.pid}/fd`).length;
  }
}

/** Runs the daemon to its end. */
export function runIserd(...argv: readonly string[]): Promise<Finished> {
  return run(process.execPath, [iserdPath, ...argv]);
}

export function runIserctl(...argv: readonly string[]): Promise<Finished> {
  return run(process.execPath, [iserctlPath, ...argv]);
}

/** Fails unless every command succeeds; returns what qemu-io said. */
export async function qemuIo(uri: string, ...commands: readonly string[]): Promise<string> {
  const argv = ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri];
  return runOk('qemu-io', argv);
}
