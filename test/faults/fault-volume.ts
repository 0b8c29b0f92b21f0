/** The volume that a line of the matrix is about: an `iserd` of its own, and its log with times. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callControl } from '../../daemon/control/client.ts';
import { statusSchema, type Status } from '../../daemon/control/protocol.ts';
import { iserctlPath, IserdProcess, run } from '../helpers/programs.ts';
import { waitUntil } from '../helpers/wait.ts';

/** The log's word for the end of a connection, with its reason. */
export const lossPattern = /connection closed .*end=(\S+)/;

export interface LogLine {
  /** Of the daemon's clock, which is ours: ms since 1970. */
  readonly atMs: number;
  readonly text: string;
}

/** Of a daemon, emulated, on a machine that is busy with other things. */
const startTimeoutMs = 120_000;

/** Keys of a `[[volume]]` as TOML values. */
export type VolumeSettings = Readonly<Record<string, number | string>>;

export class FaultVolume {
  readonly device: string;
  readonly socketPath: string;
  #iserd: IserdProcess;
  readonly #directory: string;
  readonly #lines: LogLine[];

  private constructor(iserd: IserdProcess, directory: string, lines: LogLine[]) {
    this.#iserd = iserd;
    this.#directory = directory;
    this.#lines = lines;
    this.device = iserd.device ?? '';
    this.socketPath = join(directory, 'nbd.sock');
  }

  /** `withDevice`: a kernel device besides the Unix socket. */
  static async start(
    url: string,
    initiatorName: string,
    withDevice: boolean,
    settings: VolumeSettings = {},
  ): Promise<FaultVolume> {
    const directory = mkdtempSync(join(tmpdir(), 'iserd-faults-'));
    const values = {
      name: 'fault',
      url,
      device: withDevice ? 'auto' : 'none',
      socket: join(directory, 'nbd.sock'),
      ...settings,
    };
    const keys = Object.entries(values).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    writeFileSync(
      configurationIn(directory),
      `[initiator]\nname = "${initiatorName}"\n[control]\nsocket = "${directory}/control"\n` +
        `[[volume]]\n${keys.join('\n')}\n`,
    );
    const lines: LogLine[] = [];
    return new FaultVolume(await startDaemon(directory, lines), directory, lines);
  }

  get pid(): number {
    return this.#iserd.child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#iserd.child.exitCode === null && this.#iserd.child.signalCode === null;
  }

  get hasLostConnection(): boolean {
    return this.logged(lossPattern, 0) !== undefined;
  }

  /** The first line since `sinceMs` that matches. */
  logged(pattern: RegExp, sinceMs: number): LogLine | undefined {
    return this.#lines.find(({ atMs, text }) => atMs >= sinceMs && pattern.test(text));
  }

  logSince(sinceMs: number): string[] {
    return this.#lines.filter(({ atMs }) => atMs >= sinceMs).map(({ text }) => text);
  }

  async session(): Promise<Status['volumes'][number]['sessions'][number]> {
    const status = statusSchema.parse(await callControl(`${this.#directory}/control`, 'status'));
    return status.volumes[0].sessions[0];
  }

  /** The daemon is gone from one instant to the next. */
  async crash(): Promise<void> {
    await this.#iserd.stop('SIGKILL');
  }

  /** A new daemon takes the device over; resolves when it is ready. */
  async startAgain(): Promise<void> {
    this.#iserd = await startDaemon(this.#directory, this.#lines);
    if (this.#iserd.device !== this.device)
      throw new Error(`the new daemon serves ${this.#iserd.device}, not ${this.device}`);
  }

  /** The daemon becomes its own successor, as for an upgrade; resolves when that is ready. */
  async succeed(): Promise<void> {
    const iserd = this.#iserd;
    const before = iserd.timesReady;
    iserd.child.kill('SIGUSR2');
    await waitUntil(
      'the successor is ready',
      () => {
        if (!this.isRunning) throw new Error('the daemon has ended instead');
        return iserd.timesReady > before;
      },
      startTimeoutMs,
    );
  }

  /** Ends the daemon; what it printed if it did not end well. */
  async stop(): Promise<string> {
    const { code, signal, stderr } = await this.#iserd.stop();
    rmSync(this.#directory, { recursive: true, force: true });
    return code === 0 ? '' : `iserd ended with ${signal ?? code}:\n${stderr}`;
  }

  /** Ends the daemon whatever it does, and whatever waits for its device. */
  async kill(): Promise<void> {
    await this.#iserd.stop('SIGKILL');
    if (this.device !== '')
      await run(process.execPath, [iserctlPath, 'detach', '--force', this.device]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function configurationIn(directory: string): string {
  return join(directory, 'iserd.toml');
}

/** Its log is appended to `lines`. */
function startDaemon(directory: string, lines: LogLine[]): Promise<IserdProcess> {
  return IserdProcess.start(['--config', configurationIn(directory)], (child) => {
    let rest = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      for (const text of parts) {
        const time = Date.parse(text.slice(0, text.indexOf(' ')));
        lines.push({ atMs: Number.isNaN(time) ? Date.now() : time, text });
      }
    });
  });
}
