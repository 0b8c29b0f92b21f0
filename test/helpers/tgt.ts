/** A private tgtd on this machine: its own management socket, its own TCP portal, LUNs in files of a temporary directory. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { run, runOk } from './programs.ts';

export interface TgtLun {
  readonly sizeBytes: number;
  /** Logical block length: 512 (default) or 4096. */
  readonly blockSize?: number;
  /** A file of another tgtd, which then serves the same logical unit: tgt derives its identity from target and LUN numbers. */
  readonly sharedFile?: string;
}

/** What stands in for LUN 1. */
export interface OtherLun {
  readonly file: string;
  /** tgt names a unit by its target and number alone, so another one must be told so: `scsi_id=…,scsi_sn=…`. */
  readonly params: string;
}

export interface TgtAccount {
  readonly user: string;
  readonly secret: string;
}

export interface TgtOptions {
  /** LUN 1, 2, … of one target (LUN 0 is tgt's controller). */
  readonly luns: readonly TgtLun[];
  /** The account an initiator must know. */
  readonly chap?: TgtAccount;
  /** The account the target proves to know (mutual CHAP). */
  readonly mutualChap?: TgtAccount;
  /** So that it spends its time on requests (see `swiftEnvironment`): for benchmarks. */
  readonly swift?: boolean;
}

/**
 * tgt allocates the buffer of every command. Unless told otherwise glibc takes and gives back the memory of large ones from and to the
 * kernel each time, until it has seen larger ones: half of tgt's time for 256 KiB, and a figure that depends on what was measured before.
 */
const swiftEnvironment = {
  MALLOC_MMAP_THRESHOLD_: `${32 * 2 ** 20}`,
  MALLOC_TRIM_THRESHOLD_: `${2 ** 30}`,
};
/** With the sixteen that are usual each command wakes a thread of its own; files in memory never keep one waiting. */
const swiftArguments = ['--nr_iothreads', '1'];

const targetId = '1';
const controlPort = '0';
const startTimeoutMs = 20_000;
const pollIntervalMs = 20;

export class Tgt {
  readonly targetName = 'iqn.2026-11.test:host';
  readonly address = '127.0.0.1';
  readonly port: number;
  /** `iscsi://127.0.0.1:PORT/IQN/LUN`, in the order of `options.luns`. */
  readonly urls: readonly string[];
  /** The files behind the LUNs, in the same order: what a test may compare with. */
  readonly files: readonly string[];
  readonly #options: TgtOptions;
  readonly #directory: string;
  #daemon: ChildProcess | undefined;
  #log = '';

  private constructor(options: TgtOptions, directory: string, port: number) {
    this.#options = options;
    this.#directory = directory;
    this.port = port;
    this.urls = options.luns.map(
      (_, index) => `iscsi://${this.address}:${port}/${this.targetName}/${index + 1}`,
    );
    this.files = options.luns.map(
      ({ sharedFile }, index) => sharedFile ?? join(directory, `lun${index + 1}`),
    );
  }

  /** Resolves when logins are answered. */
  static async start(options: TgtOptions): Promise<Tgt> {
    const directory = await mkdtemp(join(tmpdir(), 'iserd-tgt-'));
    const tgt = new Tgt(options, directory, await freePort());
    try {
      for (const [index, file] of tgt.files.entries()) {
        if (options.luns[index].sharedFile !== undefined) continue;
        await writeFile(file, '');
        await truncate(file, options.luns[index].sizeBytes);
      }
      await tgt.launch();
    } catch (error) {
      await tgt.stop();
      throw error;
    }
    return tgt;
  }

  /** Of tgtd; -1 when it does not run. */
  get pid(): number {
    return this.#daemon?.pid ?? -1;
  }

  /** What tgtd has printed. */
  get log(): string {
    return this.#log;
  }

  /** Starts tgtd (again, after `kill`) on the same portal with the same LUNs, or with `other` as LUN 1. */
  async launch(other?: OtherLun): Promise<void> {
    const daemon = spawn(
      'tgtd',
      [
        ...['-f', '-C', controlPort, '--iscsi', `portal=${this.address}:${this.port}`],
        ...(this.#options.swift === true ? swiftArguments : []),
      ],
      { stdio: ['ignore', 'pipe', 'pipe'], env: this.#environment },
    );
    this.#daemon = daemon;
    const collect = (chunk: Buffer): string => (this.#log += chunk.toString());
    daemon.stdout.on('data', collect);
    daemon.stderr.on('data', collect);
    await new Promise((resolve, reject) => {
      daemon.once('spawn', resolve);
      daemon.once('error', reject);
    });
    await this.#ready(daemon);
    await this.#configure(other);
  }

  /** Ends tgtd at once, as a crash would; sessions see their connection reset. */
  async kill(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = new Promise((resolve) => daemon.once('close', resolve));
    daemon.kill('SIGKILL');
    await ended;
  }

  /** SIGSTOP makes it a host that hangs, until SIGCONT. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#daemon?.kill(signal);
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#directory, { recursive: true, force: true });
  }

  /** Runs tgtadm on this tgtd: `await tgt.admin('--op', 'show', '--mode', 'target')`. */
  admin(...argv: readonly string[]): Promise<string> {
    const all = ['TGT_IPC_SOCKET=' + this.#ipcSocket, 'tgtadm', '-C', controlPort];
    return runOk('env', [...all, '--lld', 'iscsi', ...argv], { timeoutMs: startTimeoutMs });
  }

  get #ipcSocket(): string {
    return join(this.#directory, 'ipc');
  }

  get #environment(): NodeJS.ProcessEnv {
    const swift = this.#options.swift === true ? swiftEnvironment : {};
    return { ...process.env, ...swift, TGT_IPC_SOCKET: this.#ipcSocket };
  }

  /** tgtd tells nobody when it is ready: ask until it answers. */
  async #ready(daemon: ChildProcess): Promise<void> {
    const signal = AbortSignal.timeout(startTimeoutMs);
    const argv = ['-C', controlPort, '--lld', 'iscsi', '--op', 'show', '--mode', 'sys'];
    const options = { env: this.#environment, timeoutMs: startTimeoutMs };
    while ((await run('tgtadm', argv, options)).code !== 0) {
      if (daemon.exitCode !== null) throw new Error(`tgtd ended at once:\n${this.#log}`);
      if (signal.aborted) throw new Error(`tgtd is not ready:\n${this.#log}`);
      await delay(pollIntervalMs);
    }
  }

  async #configure(other: OtherLun | undefined): Promise<void> {
    const { luns, chap, mutualChap } = this.#options;
    const target = ['--tid', targetId];
    await this.admin('--op', 'new', '--mode', 'target', ...target, '-T', this.targetName);
    for (const [index, { blockSize = 512 }] of luns.entries()) {
      const isOther = index === 0 && other !== undefined;
      const unit = ['--mode', 'logicalunit', ...target, '--lun', String(index + 1)];
      const file = isOther ? other.file : this.files[index];
      await this.admin('--op', 'new', ...unit, '-b', file, '--blocksize', String(blockSize));
      if (isOther) await this.admin('--op', 'update', ...unit, '--params', other.params);
    }
    if (chap !== undefined) await this.#bindAccount(chap);
    if (mutualChap !== undefined) await this.#bindAccount(mutualChap, '--outgoing');
    await this.admin('--op', 'bind', '--mode', 'target', ...target, '-I', 'ALL');
  }

  async #bindAccount({ user, secret }: TgtAccount, ...direction: readonly string[]): Promise<void> {
    const account = ['--mode', 'account', '--user', user];
    await this.admin('--op', 'new', ...account, '--password', secret);
    await this.admin('--op', 'bind', ...account, '--tid', targetId, ...direction);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => {
        resolve(port);
      });
    });
  });
}
