/** An NBD client on a real Unix socket, with simple replies: for tests that must know which request was answered, and how. */
import { createConnection, type Socket } from 'node:net';
import { Command, Option } from '../../src/nbd/constants.ts';
import { clientFlagsBoth, concat, infoData, option, request, u32 } from './nbd-client.ts';

/** NBDMAGIC, IHAVEOPT, handshake flags (proto.md: Fixed newstyle negotiation). */
const greetingLength = 18;
const optionReplyHeaderLength = 20;
const simpleReplyHeaderLength = 16;
const simpleReplyMagic = 0x67446698;
const replyAcknowledge = 1;

export interface Answer {
  /** NBD error number; 0 is success. */
  readonly error: number;
  readonly data: Buffer;
}

/** The server has closed the connection with the request unanswered. */
export class ConnectionGone extends Error {}

interface Pending {
  readonly readLength: number;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

export class NbdSocketClient {
  readonly socket: Socket;
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>;
  #received: Buffer = Buffer.alloc(0);
  #wake: () => void = () => undefined;
  #ended = false;
  #nextCookie = 1n;
  readonly #pending = new Map<bigint, Pending>();

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    // The end that matters is 'close', which follows.
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        this.#ended = true;
        this.#wake();
        for (const { reject } of this.#pending.values()) reject(new ConnectionGone('not answered'));
        this.#pending.clear();
        resolve();
      });
    });
  }

  /** Resolves in the transmission phase. */
  static async connect(path: string, exportName = ''): Promise<NbdSocketClient> {
    const socket = createConnection(path);
    const client = new NbdSocketClient(socket);
    await client.#take(greetingLength);
    socket.write(concat(u32(clientFlagsBoth), option(Option.go, infoData(exportName))));
    for (let type = 0; type !== replyAcknowledge;) {
      const header = await client.#take(optionReplyHeaderLength);
      type = header.readUInt32BE(12);
      await client.#take(header.readUInt32BE(16));
      if (type >= 2 ** 31) throw new Error(`the server refused GO: ${type.toString(16)}`);
    }
    void client.#readReplies();
    return client;
  }

  read(offset: number, length: number): Promise<Answer> {
    return this.#send(Command.read, offset, length, length);
  }

  write(offset: number, payload: Uint8Array): Promise<Answer> {
    return this.#send(Command.write, offset, payload.length, 0, payload);
  }

  flush(): Promise<Answer> {
    return this.#send(Command.flush, 0, 0, 0);
  }

  /** Ends without a word. */
  vanish(): Promise<void> {
    this.socket.destroy();
    return this.closed;
  }

  /** Says goodbye; the server closes. */
  disconnect(): Promise<void> {
    this.socket.write(request({ command: Command.disconnect }));
    return this.closed;
  }

  #send(
    command: number,
    offset: number,
    length: number,
    readLength: number,
    payload?: Uint8Array,
  ): Promise<Answer> {
    if (this.#ended) return Promise.reject(new ConnectionGone('closed before the request'));
    const cookie = this.#nextCookie++;
    return new Promise((resolve, reject) => {
      this.#pending.set(cookie, { readLength, resolve, reject });
      this.socket.write(request({ command, cookie, offset, length }, payload));
    });
  }

  async #readReplies(): Promise<void> {
    try {
      for (;;) {
        const header = await this.#take(simpleReplyHeaderLength);
        const cookie = header.readBigUInt64BE(8);
        const pending = this.#pending.get(cookie);
        if (header.readUInt32BE(0) !== simpleReplyMagic || pending === undefined)
          throw new Error(`no answer to a request: ${header.toString('hex')}`);
        const error = header.readUInt32BE(4);
        const data = await this.#take(error === 0 ? pending.readLength : 0);
        this.#pending.delete(cookie);
        pending.resolve({ error, data });
      }
    } catch (error) {
      if (error instanceof ConnectionGone) return;
      for (const { reject } of this.#pending.values()) reject(error as Error);
      this.socket.destroy();
    }
  }

  async #take(length: number): Promise<Buffer> {
    while (this.#received.length < length) {
      if (this.#ended) throw new ConnectionGone('the server has closed the connection');
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return taken;
  }
}
