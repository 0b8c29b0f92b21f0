import { expect } from 'chai';
import { NbdSocketClient, type Answer } from '../../helpers/nbd-socket.ts';
import { expectContent } from './expect-content.ts';
import { initialByte, triggerOffset } from './hostile-iser-target.ts';

/** NBD_EIO. */
export const ioError = 5;

const length = 64 * 1024;
/** Places on the disk around the one about which the target lies: read while it does, or written. */
const readPlaces = [0, 1, 2, 3];
const writtenPlaces = [4, 5, 6, 7];

/** What a place holds after it was written for the nth time. */
function content(place: number, time: number): Buffer {
  return Buffer.alloc(length, `${time}:${place};`);
}

export interface Outcome {
  /** Of the command about which the target lies. */
  readonly answer: Answer;
  readonly others: readonly Answer[];
  readonly milliseconds: number;
}

/** An NBD client of the volume at the hostile target, which knows what the disk must hold. */
export class HostileClient {
  readonly #nbd: NbdSocketClient;

  private constructor(nbd: NbdSocketClient) {
    this.#nbd = nbd;
  }

  /** The places around the block are written. */
  static async connect(socket: string): Promise<HostileClient> {
    const client = new HostileClient(await NbdSocketClient.connect(socket));
    const places = [...readPlaces, ...writtenPlaces];
    const answers = await Promise.all(places.map((place) => client.#write(place, 1)));
    expect(answers.map(({ error }) => error)).to.deep.equal(places.map(() => 0));
    return client;
  }

  /** Moves the block about which the target lies, together with others. What is read of these without an error is right. */
  async provoke(about: 'read' | 'write'): Promise<Outcome> {
    const begin = performance.now();
    const reads = readPlaces.map((place) => this.#nbd.read(place * length, length));
    const provoked =
      about === 'read'
        ? this.#nbd.read(triggerOffset, length)
        : this.#nbd.write(triggerOffset, content(-1, 1));
    const writes = writtenPlaces.map((place) => this.#write(place, 2));
    const answer = await provoked;
    const milliseconds = performance.now() - begin;
    const readAnswers = await Promise.all(reads);
    readAnswers.forEach(({ error, data }, place) => {
      if (error === 0) expectContent(data, content(place, 1), `place ${place}`);
    });
    return { answer, others: [...readAnswers, ...(await Promise.all(writes))], milliseconds };
  }

  /** What was written last is there, in all places. */
  async expectWritten(): Promise<void> {
    for (const place of readPlaces) await this.#expectAt(place * length, content(place, 1));
    for (const place of writtenPlaces) await this.#expectAt(place * length, content(place, 2));
  }

  /** The block is as it was before anybody wrote it. */
  expectUntouched(): Promise<void> {
    return this.#expectAt(triggerOffset, untouched);
  }

  expectProvokingWrite(): Promise<void> {
    return this.#expectAt(triggerOffset, content(-1, 1));
  }

  /** Of more reads than the widest command window lets through some end with an error. Resolves with how long that took. */
  async expectRefusals(): Promise<number> {
    const begin = performance.now();
    const reads = Array.from({ length: 100 }, () => this.#nbd.read(0, 512));
    const errors = (await Promise.all(reads)).map(({ error }) => error);
    expect(new Set(errors)).to.deep.equal(new Set([0, ioError]));
    return performance.now() - begin;
  }

  disconnect(): Promise<void> {
    return this.#nbd.disconnect();
  }

  #write(place: number, time: number): Promise<Answer> {
    return this.#nbd.write(place * length, content(place, time));
  }

  async #expectAt(offset: number, expected: Buffer): Promise<void> {
    const { error, data } = await this.#nbd.read(offset, length);
    expect(error, `error at ${offset}`).to.equal(0);
    expectContent(data, expected, `offset ${offset}`);
  }
}

/** What the block holds at first. */
export const untouched = Buffer.alloc(length, initialByte);
