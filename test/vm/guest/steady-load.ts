import { NbdSocketClient } from '../../helpers/nbd-socket.ts';
import { expectContent } from './expect-content.ts';

const length = 32 * 1024;
const places = 32;

/** Writes and reads back, one after the other, from several clients at once, until it is stopped. */
export class SteadyLoad {
  readonly #clients: readonly NbdSocketClient[];
  readonly #runs: readonly Promise<void>[];
  readonly #name: string;
  #stopped = false;
  #rounds = 0;
  #longestMs = 0;

  private constructor(clients: readonly NbdSocketClient[], name: string) {
    this.#clients = clients;
    this.#name = name;
    this.#runs = clients.map((client, index) => this.#run(client, index));
    // Reported by `stop`.
    for (const run of this.#runs) run.catch(() => undefined);
  }

  /** `clients`: as many as the volume has sessions, which take turns. `name` marks what is written. */
  static async start(socket: string, clients: number, name: string): Promise<SteadyLoad> {
    const connecting = Array.from({ length: clients }, () => NbdSocketClient.connect(socket));
    return new SteadyLoad(await Promise.all(connecting), name);
  }

  /** Blocks that were written and came back right. */
  get rounds(): number {
    return this.#rounds;
  }

  /** How long it took at most to write one and read it back. */
  get longestMs(): number {
    return this.#longestMs;
  }

  /** Rejects when anything was wrong. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#runs);
    await Promise.all(this.#clients.map((client) => client.disconnect()));
  }

  async #run(client: NbdSocketClient, index: number): Promise<void> {
    for (let round = 0; !this.#stopped; round++) {
      const offset = (index * places + (round % places)) * length;
      const payload = Buffer.alloc(length, `${this.#name} ${index} ${round};`);
      const begin = performance.now();
      const written = await client.write(offset, payload);
      const { error, data } = await client.read(offset, length);
      this.#longestMs = Math.max(this.#longestMs, performance.now() - begin);
      const where = `round ${round} at ${offset}`;
      if (written.error !== 0 || error !== 0)
        throw new Error(`${where}: errors ${written.error} and ${error}`);
      expectContent(data, payload, where);
      this.#rounds++;
    }
  }
}
