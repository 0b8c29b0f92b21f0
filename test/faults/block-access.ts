/** Two ways to the blocks of a volume for a load: past the page cache through the kernel device, and through the Unix socket. */
import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { NbdSocketClient } from '../helpers/nbd-socket.ts';

export interface BlockAccess {
  readonly name: string;
  /** Memory that `read` and `write` take. */
  allocate(length: number): Buffer;
  /** Rejects when the device reports an error. */
  write(offset: number, payload: Buffer): Promise<void>;
  read(offset: number, into: Buffer): Promise<void>;
  close(): Promise<void>;
  /** Whatever state it is in; the device is gone already. */
  abandon(): Promise<void>;
}

const alignment = 4096;

/**
 * A kernel device, or a file on one, opened with O_DIRECT. Every request that waits occupies a thread of libuv's pool: UV_THREADPOOL_SIZE must
 * be above the queue depth.
 */
export class DeviceAccess implements BlockAccess {
  readonly name = 'device';
  readonly #file: FileHandle;
  /** Whole pages; its start, of all places in a large allocation, is found by trying. */
  readonly #memory: Buffer;
  #used: number;

  private constructor(file: FileHandle, memory: Buffer, start: number) {
    this.#file = file;
    this.#memory = memory;
    this.#used = start;
  }

  /** `memoryBytes`: of all that `allocate` will give. */
  static async open(path: string, memoryBytes: number): Promise<DeviceAccess> {
    const file = await open(path, constants.O_RDWR | constants.O_DIRECT);
    const memory = Buffer.from(new ArrayBuffer(memoryBytes + 2 * alignment));
    for (let start = 0; start < alignment; start += 8) {
      try {
        await file.read(memory, start, 512, 0);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EINVAL') continue;
        throw error;
      }
      return new DeviceAccess(file, memory, start);
    }
    throw new Error(`${path} takes no O_DIRECT request`);
  }

  allocate(length: number): Buffer {
    const start = this.#used;
    this.#used += length;
    if (this.#used > this.#memory.length) throw new Error('more memory than was announced');
    return this.#memory.subarray(start, this.#used);
  }

  async write(offset: number, payload: Buffer): Promise<void> {
    const { bytesWritten } = await this.#file.write(payload, 0, payload.length, offset);
    if (bytesWritten !== payload.length) throw new Error(`${bytesWritten} bytes written`);
  }

  async read(offset: number, into: Buffer): Promise<void> {
    const { bytesRead } = await this.#file.read(into, 0, into.length, offset);
    if (bytesRead !== into.length) throw new Error(`${bytesRead} bytes read`);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async abandon(): Promise<void> {
    await this.#file.close().catch(() => undefined);
  }
}

export class SocketAccess implements BlockAccess {
  readonly name = 'socket';
  readonly #client: NbdSocketClient;

  private constructor(client: NbdSocketClient) {
    this.#client = client;
  }

  static async connect(path: string): Promise<SocketAccess> {
    return new SocketAccess(await NbdSocketClient.connect(path));
  }

  allocate(length: number): Buffer {
    return Buffer.alloc(length);
  }

  async write(offset: number, payload: Buffer): Promise<void> {
    const { error } = await this.#client.write(offset, payload);
    if (error !== 0) throw new Error(`NBD error ${error}`);
  }

  async read(offset: number, into: Buffer): Promise<void> {
    const { error, data } = await this.#client.read(offset, into.length);
    if (error !== 0) throw new Error(`NBD error ${error}`);
    data.copy(into);
  }

  close(): Promise<void> {
    return this.#client.disconnect();
  }

  async abandon(): Promise<void> {
    await this.#client.disconnect().catch(() => undefined);
  }
}
