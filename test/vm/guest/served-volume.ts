import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { callControl } from '../../../daemon/control/client.ts';
import { statusSchema, type Status } from '../../../daemon/control/protocol.ts';
import { IserdProcess, type Finished } from '../../helpers/programs.ts';
import { waitUntil } from '../../helpers/wait.ts';
import { initiatorOptions, targets } from './machine.ts';

/** Those that a failing test may have to do with. */
const started = new Set<ServedVolume>();

afterEach('show at once what failed and what the daemons said', function () {
  if (this.currentTest?.state !== 'failed') return;
  console.log(this.currentTest.err?.message.replaceAll(/^/gm, '    ! '));
  for (const volume of started) console.log(volume.log.replaceAll(/^/gm, '    | '));
});

/** One logical unit served by an `iserd serve` of its own, with a kernel device, a Unix socket and a control socket. */
export class ServedVolume {
  /** For files of the test; goes with `remove`. */
  readonly directory = mkdtempSync(join(tmpdir(), 'iserd-vm-'));
  readonly #url: string;
  readonly #options: readonly string[];
  #iserd: IserdProcess | undefined;

  /** @param urlVariable the variable of targets.sh that bears the URL. */
  constructor(urlVariable: string, ...options: readonly string[]) {
    this.#url = urlVariable;
    this.#options = options;
  }

  static async start(urlVariable: string, ...options: readonly string[]): Promise<ServedVolume> {
    const volume = new ServedVolume(urlVariable, ...options);
    await volume.start();
    return volume;
  }

  async start(): Promise<void> {
    started.delete(this);
    this.#iserd = await IserdProcess.start([
      'serve',
      await targets.variable(this.#url),
      ...initiatorOptions(),
      ...(this.#options.includes('--device') ? [] : ['--device', 'auto']),
      '--socket',
      join(this.directory, 'nbd.sock'),
      '--control-socket',
      this.controlSocket,
      ...this.#options,
    ]);
    started.add(this);
  }

  get controlSocket(): string {
    return join(this.directory, 'control.sock');
  }

  get device(): string {
    return this.#running.device ?? '';
  }

  get uri(): string {
    return this.#running.uri ?? '';
  }

  get log(): string {
    return this.#running.log;
  }

  get isRunning(): boolean {
    return this.#running.child.exitCode === null && this.#running.child.signalCode === null;
  }

  async status(): Promise<Status> {
    return statusSchema.parse(await callControl(this.controlSocket, 'status'));
  }

  async sessionState(): Promise<string> {
    return (await this.status()).volumes[0].sessions[0].state;
  }

  get pid(): number {
    return this.#running.child.pid ?? -1;
  }

  /** SIGKILL, and the end that follows. */
  kill(): Promise<Finished> {
    return this.#running.stop('SIGKILL');
  }

  /** By SIGUSR2 or `iserctl restart`: resolves when the process is ready again, as its own successor. */
  async restartInPlace(by: 'signal' | 'control socket'): Promise<void> {
    const iserd = this.#running;
    const before = iserd.timesReady;
    if (by === 'signal') iserd.child.kill('SIGUSR2');
    else await callControl(this.controlSocket, 'restart');
    await waitUntil(
      'the successor is ready',
      () => {
        if (!this.isRunning) throw new Error(`iserd has ended:\n${iserd.log}`);
        return iserd.timesReady > before;
      },
      180_000,
    );
  }

  /** SIGTERM, and the end that follows. */
  stop(): Promise<Finished> {
    return this.#running.stop();
  }

  /** Ends the daemon if it runs, removes the files. For `after` hooks. */
  async remove(): Promise<void> {
    started.delete(this);
    if (this.#iserd !== undefined && this.isRunning) await this.stop();
    rmSync(this.directory, { recursive: true });
  }

  get #running(): IserdProcess {
    if (this.#iserd === undefined) throw new Error('the volume has not been started');
    return this.#iserd;
  }
}
