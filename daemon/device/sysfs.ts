/** What the kernel shows and lets us set about one nbd device, under /sys/block/nbdN. */
import { readdir, readFile, writeFile } from 'node:fs/promises';

/** File access, time and warnings, so that tests can stand in for the kernel. */
export interface Surroundings {
  readFile(path: string): Promise<string>;
  readDirectory(path: string): Promise<string[]>;
  writeFile(path: string, text: string): Promise<void>;
  sleep(milliseconds: number): Promise<void>;
  /** Milliseconds, monotonic. */
  now(): number;
  warn(message: string): void;
}

export const realSurroundings: Surroundings = {
  readFile: (path) => readFile(path, 'utf8'),
  readDirectory: (path) => readdir(path),
  writeFile: (path, text) => writeFile(path, text),
  sleep: (milliseconds) =>
    new Promise((resolve) => {
      setTimeout(resolve, milliseconds);
    }),
  now: () => performance.now(),
  warn: (message) => {
    process.emitWarning(message);
  },
};

/** /sys/block/nbdN/size counts in units of 512 bytes, whatever the block size. */
const sysfsSectorBytes = 512;

const pollIntervalMs = 20;

export class SysfsDevice {
  readonly #directory: string;
  readonly #surroundings: Surroundings;

  constructor(index: number, surroundings: Surroundings) {
    this.#directory = `/sys/block/nbd${index}`;
    this.#surroundings = surroundings;
  }

  /** Whether somebody's export is attached (alive or not). */
  async attached(): Promise<boolean> {
    return (await this.#read('pid')) !== undefined;
  }

  /** The backend identifier that the attaching process gave; undefined without one. */
  backend(): Promise<string | undefined> {
    return this.#read('backend');
  }

  async sizeBytes(): Promise<number | undefined> {
    const sectors = await this.#read('size');
    return sectors === undefined ? undefined : Number(sectors) * sysfsSectorBytes;
  }

  /** Logical block length in bytes. */
  async blockSize(): Promise<number | undefined> {
    const bytes = await this.#read('queue/logical_block_size');
    return bytes === undefined ? undefined : Number(bytes);
  }

  /** Sets one queue attribute; a kernel that refuses is a warning, since the device works without. */
  async setQueue(attribute: string, value: number | string): Promise<void> {
    const path = `${this.#directory}/queue/${attribute}`;
    try {
      await this.#surroundings.writeFile(path, String(value));
    } catch (error) {
      this.#surroundings.warn(`cannot set ${path} to ${value}: ${(error as Error).message}`);
    }
  }

  /**
   * Has udev look at the device again. The kernel's own event comes before it shows the backend, by which rules recognize the device; a
   * refusal costs the links under /dev/disk, no more.
   */
  async announce(): Promise<void> {
    const path = `${this.#directory}/uevent`;
    try {
      await this.#surroundings.writeFile(path, 'change');
    } catch (error) {
      this.#surroundings.warn(`cannot write to ${path}: ${(error as Error).message}`);
    }
  }

  /** Polls (sysfs has no notification) until `condition` holds; false when it does not within the limit. */
  async waitUntil(condition: () => Promise<boolean>, timeoutMs: number): Promise<boolean> {
    const surroundings = this.#surroundings;
    const end = surroundings.now() + timeoutMs;
    while (!(await condition())) {
      if (surroundings.now() >= end) return false;
      await surroundings.sleep(pollIntervalMs);
    }
    return true;
  }

  async #read(attribute: string): Promise<string | undefined> {
    try {
      return (await this.#surroundings.readFile(`${this.#directory}/${attribute}`)).trim();
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // ENODEV: the device went while the file was open.
      if (code === 'ENOENT' || code === 'ENODEV') return undefined;
      throw error;
    }
  }
}

/** Indices of the attached devices, alive or not, with this backend identifier. */
export async function devicesOf(
  backendIdentifier: string,
  surroundings: Surroundings,
): Promise<number[]> {
  const found: number[] = [];
  for (const name of await surroundings.readDirectory('/sys/block')) {
    const digits = /^nbd(\d+)$/.exec(name)?.[1];
    if (digits === undefined) continue;
    const device = new SysfsDevice(Number(digits), surroundings);
    if ((await device.backend()) === backendIdentifier && (await device.attached()))
      found.push(Number(digits));
  }
  return found;
}
