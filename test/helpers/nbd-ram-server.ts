/** A minimal NBD server in transmission phase on one socket fd, over a Buffer: a peer for the kernel's client in tests. */
import { Socket } from 'node:net';

const requestMagic = 0x25609513;
const simpleReplyMagic = 0x67446698;
const requestLength = 28;
const Command = { read: 0, write: 1, disconnect: 2 } as const;

export class NbdRamServer {
  /** Requests seen, by command number (proto.md: Request types). */
  readonly commands: number[] = [];
  /** Resolves when the socket is closed, from either side. */
  readonly ended: Promise<void>;
  /** While set, requests are taken in but not answered. */
  silent = false;
  readonly #disk: Buffer;
  readonly #socket: Socket;
  #input = Buffer.alloc(0);

  constructor(fd: number, disk: Buffer) {
    this.#disk = disk;
    this.#socket = new Socket({ fd, readable: true, writable: true });
    this.ended = new Promise((resolve) => {
      this.#socket.once('close', () => {
        resolve();
      });
    });
    // A reset by the kernel is an end like any other.
    this.#socket.on('error', () => undefined);
    this.#socket.on('data', (chunk: Buffer) => {
      this.#input = Buffer.concat([this.#input, chunk]);
      while (this.#takeRequest());
    });
  }

  /** Closes the socket without an answer to what is in flight: a crash, as the kernel sees it. */
  crash(): Promise<void> {
    this.#socket.destroy();
    return this.ended;
  }

  #takeRequest(): boolean {
    const input = this.#input;
    if (input.length < requestLength) return false;
    if (input.readUInt32BE(0) !== requestMagic) throw new Error('bad request magic');
    const command = input.readUInt16BE(6);
    const offset = Number(input.readBigUInt64BE(16));
    const length = input.readUInt32BE(24);
    const payload = command === Command.write ? length : 0;
    if (input.length < requestLength + payload) return false;
    const cookie = input.subarray(8, 16);
    this.commands.push(command);
    if (command === Command.disconnect) this.#socket.end();
    else if (!this.silent) {
      input.copy(this.#disk, offset, requestLength, requestLength + payload);
      const header = Buffer.alloc(8);
      header.writeUInt32BE(simpleReplyMagic);
      const data =
        command === Command.read ? this.#disk.subarray(offset, offset + length) : Buffer.alloc(0);
      this.#socket.write(Buffer.concat([header, cookie, data]));
    }
    this.#input = input.subarray(requestLength + payload);
    return true;
  }
}
