import { once } from 'node:events';
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { waitUntil } from '../../helpers/wait.ts';

const program = fileURLToPath(new URL('hostile-iser-target', import.meta.url));

/** Byte offset on the disks of the block about which they lie: TRIGGER of its lies.py. */
export const triggerOffset = 2 ** 20;
/** What the disks are full of. */
export const initialByte = 0xd5;

/** A lie of its lies.py. */
export interface Part {
  readonly lie: string;
  readonly told: 'once' | 'always';
}

/** iSER targets in Python, a process and a port for each lie. */
export class HostileIserTargets {
  readonly #child: ChildProcess;
  readonly #firstPort: number;
  #output = '';

  private constructor(child: ChildProcess, firstPort: number) {
    this.#child = child;
    this.#firstPort = firstPort;
    const collect = (chunk: Buffer): void => {
      this.#output += chunk.toString();
    };
    child.stdout?.on('data', collect);
    child.stderr?.on('data', collect);
  }

  /** Resolves when all of them listen: at `firstPort` and the ports that follow, in the order of `parts`. */
  static async start(
    address: string,
    firstPort: number,
    parts: readonly Part[],
  ): Promise<HostileIserTargets> {
    const lies = parts.map(({ lie, told }) => `${lie}:${told === 'once' ? 1 : 0}`);
    // The system's Python: the bindings are a Debian package. A group of its own, so that all of it can be ended.
    const child = spawn('/usr/bin/python3', [program, address, String(firstPort), ...lies], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const started = new HostileIserTargets(child, firstPort);
    await waitUntil(
      'the hostile targets listen',
      () => {
        if (child.exitCode !== null) throw new Error(`they have ended:\n${started.#output}`);
        return started.#matches(/^\d+ listening /gm).length === parts.length;
      },
      60_000,
    );
    return started;
  }

  /** The one of that part. */
  target(index: number): HostileIserTarget {
    const port = this.#firstPort + index;
    return new HostileIserTarget((what) => this.#matches(new RegExp(`^${port} ${what}$`, 'gm')));
  }

  async stop(): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    process.kill(-pid, 'SIGKILL');
    await gone;
  }

  /** Everything that they have said, tracebacks too. */
  get output(): string {
    return this.#output;
  }

  #matches(pattern: RegExp): RegExpExecArray[] {
    return [...this.#output.matchAll(pattern)];
  }
}

export class HostileIserTarget {
  readonly #said: (what: string) => RegExpExecArray[];

  constructor(said: (what: string) => RegExpExecArray[]) {
    this.#said = said;
  }

  /** How often it has lied. */
  get timesTold(): number {
    return this.#said('told').length;
  }

  /** Why its connections have ended, oldest first. */
  get losses(): string[] {
    return this.#said('lost (.*)').map(([, reason]) => reason);
  }

  /** It lies no more. */
  turnPolite(): void {
    const [[, pid]] = this.#said('listening (\\d+)');
    process.kill(Number(pid), 'SIGUSR1');
  }
}
