/** A small virtual machine whose root file system is on a disk under test (test/vm/vm-guests/make-disk.sh). */
import { spawn, type ChildProcess } from 'node:child_process';
import { waitUntil } from './wait.ts';
import { repository, runOk } from './programs.ts';

/** From power on to "guest ready"; emulation inside emulation is slow. */
const bootTimeoutMs = 480_000;
const commandTimeoutMs = 120_000;

const machine = [
  ...['-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', '192'],
  ...['-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
];

/** Makes a bootable disk at `path`, and beside it PATH.kernel and PATH.initrd. */
export async function makeGuestDisk(path: string): Promise<void> {
  await runOk('bash', [`${repository}test/vm/vm-guests/make-disk.sh`, path]);
}

export class QemuGuest {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #console = '';
  /** How much of the console belongs to commands that have had their answers. */
  #consumed = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const collect = (chunk: Buffer): string => (this.#console += chunk.toString('latin1'));
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
    this.#ended = new Promise((resolve) => child.once('close', resolve));
  }

  /**
   * Starts QEMU with `disk`, arguments that give it its disk; `onSpawn` sees the process at once, for those who must end it whatever
   * happens. Resolves when the guest takes commands.
   */
  static async boot(
    disk: readonly string[],
    onSpawn: (child: ChildProcess) => void = () => undefined,
  ): Promise<QemuGuest> {
    const child = spawn('qemu-system-x86_64', [...machine, ...disk], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    onSpawn(child);
    // The guest may be gone when something is written to it.
    child.stdin.on('error', () => undefined);
    const guest = new QemuGuest(child);
    await guest.#until('it is ready', /guest ready, boot \d+, root on [^\n]*\n/, bootTimeoutMs);
    return guest;
  }

  get console(): string {
    return this.#console;
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** How often the guest's root file system has been booted, this time included. */
  get boots(): number {
    return Number(/guest ready, boot (\d+)/.exec(this.#console)?.[1]);
  }

  /** Runs a shell command in the guest; rejects with its output unless it succeeds. One at a time. */
  async run(command: string): Promise<string> {
    this.#child.stdin?.write(`${Buffer.from(command).toString('base64')}\n`);
    const end = /\r?\nguest end (\d+)\r?\n/;
    const output = await this.#until(`"${command}" ends`, end, commandTimeoutMs);
    const [, status] = end.exec(output) ?? [];
    if (status !== '0') throw new Error(`in the guest, ${command}: status ${status}\n${output}`);
    return output.replace(end, '').replaceAll('\r', '').trim();
  }

  /** As if the power had gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** What comes on the console up to the end of `pattern`. */
  async #until(what: string, pattern: RegExp, timeoutMs: number): Promise<string> {
    let found: RegExpExecArray | null = null;
    await waitUntil(
      `in the guest, ${what}`,
      () => {
        found = pattern.exec(this.#console.slice(this.#consumed));
        if (found !== null) return true;
        if (this.#child.exitCode !== null || this.#child.signalCode !== null)
          throw new Error(`the guest has ended:\n${this.#console}`);
        return false;
      },
      timeoutMs,
    ).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${this.#console.slice(-4000)}`);
    });
    const { index, 0: text } = found as unknown as RegExpExecArray;
    const output = this.#console.slice(this.#consumed, this.#consumed + index + text.length);
    this.#consumed += index + text.length;
    return output;
  }
}
