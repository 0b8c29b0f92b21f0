import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const repository = fileURLToPath(new URL('../..', import.meta.url));
export const iserdPath = `${repository}dist/bin/iserd.js`;
export const iserctlPath = `${repository}dist/bin/iserctl.js`;

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end; killed after `timeoutMs`. */
export function run(
  program: string,
  argv: readonly string[],
  options: { timeoutMs?: number; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, argv, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: options.env ?? process.env,
      cwd: options.cwd,
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), options.timeoutMs ?? 120_000);
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Like `run`, but a non-zero end is an error that shows what the program said. */
export async function runOk(
  program: string,
  argv: readonly string[],
  options: { timeoutMs?: number; env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Promise<string> {
  const { code, signal, stdout, stderr } = await run(program, argv, options);
  if (code !== 0) {
    throw new Error(
      `${program} ${argv.join(' ')}: ${signal ?? `exit ${code}`}\n${stdout}\n${stderr}`,
    );
  }
  return stdout;
}

/** A running `iserd serve`: started when its ready line is out. */
export class IserdProcess {
  readonly device: string | undefined;
  readonly uri: string | undefined;
  readonly child: ChildProcess;
  readonly #ended: Promise<Finished>;
  readonly #log: () => string;
  readonly #output: () => string;

  private constructor(
    child: ChildProcess,
    ready: string,
    ended: Promise<Finished>,
    log: () => string,
    output: () => string,
  ) {
    this.child = child;
    this.device = /device=(\S+)/.exec(ready)?.[1];
    this.uri = /uri=(\S+)/.exec(ready)?.[1];
    this.#ended = ended;
    this.#log = log;
    this.#output = output;
  }

  /**
   * `argv` after the program name: ["serve", url, …] or ["--config", file]. Rejects with the log if it ends before it
   * is ready. `onSpawn` sees the process at once, for those who must end it whatever happens. `wrapper` is a command line that ends by
   * executing the one that is appended to it: ["setpriv", "--reuid", "nobody"].
   */
  static async start(
    argv: readonly string[],
    onSpawn: (child: ChildProcess) => void = () => undefined,
    wrapper: readonly string[] = [],
  ): Promise<IserdProcess> {
    const [program, ...rest] = [...wrapper, process.execPath, iserdPath, ...argv];
    const child = spawn(program, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    onSpawn(child);
    let stderr = '';
    let stdout = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    const ended = new Promise<Finished>((resolve) => {
      child.on('close', (code, signal) => {
        resolve({ code, signal, stdout, stderr });
      });
    });
    const ready = await new Promise<string>((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        stdout += `${line}\n`;
        if (line.startsWith('ready ')) resolve(line);
      });
      child.on('error', reject);
      void ended.then(({ code, signal }) => {
        reject(new Error(`iserd ended (${signal ?? code}) before it was ready:\n${stderr}`));
      });
    });
    return new IserdProcess(
      child,
      ready,
      ended,
      () => stderr,
      () => stdout,
    );
  }

  get log(): string {
    return this.#log();
  }

  /** How often it has become ready: once for every program that the process has been. */
  get timesReady(): number {
    return this.#output().match(/^ready /gm)?.length ?? 0;
  }

  /** Sends the signal and waits for the end. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> {
    this.child.kill(signal);
    return this.#ended;
  }

  get ended(): Promise<Finished> {
    return this.#ended;
  }
}
