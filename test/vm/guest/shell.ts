import { spawn, type ChildProcess } from 'node:child_process';

/** A bash that has sourced a file and runs one command after the other, so that variables and background jobs live on. */
export class Shell {
  readonly #child: ChildProcess;
  #output = '';
  #settle: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(sourced: string) {
    // A command is a line of base64; after its output comes a line with an end mark and its status.
    const loop = `. "$1"; while read -r line; do eval "$(base64 -d <<<"$line")"; printf '${endMark}%d\\n' "$?"; done`;
    this.#child = spawn('bash', ['-c', `exec 2>&1; ${loop}`, 'bash', sourced], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString();
      this.#settle?.();
    });
  }

  /** Resolves with what the command printed; a status other than 0 is an error that shows it. Commands run in call order. */
  run(command: string): Promise<string> {
    const result = this.#turn.then(() => this.#run(command));
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** The value of a variable that the sourced file has set. */
  async variable(name: string): Promise<string> {
    return (await this.run(`printf %s "\${${name}:?}"`)).trim();
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin?.end();
    await ended;
  }

  async #run(command: string): Promise<string> {
    this.#child.stdin?.write(`${Buffer.from(command).toString('base64')}\n`);
    for (;;) {
      const end = endPattern.exec(this.#output);
      if (end !== null) {
        const printed = this.#output.slice(0, end.index);
        this.#output = this.#output.slice(end.index + end[0].length);
        if (end[1] !== '0') throw new Error(`${command}: status ${end[1]}\n${printed}`);
        return printed;
      }
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
      });
    }
  }
}

const endMark = '\\001end ';
const endPattern = /\u0001end (\d+)\n/;
