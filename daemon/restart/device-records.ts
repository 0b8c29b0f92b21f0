/**
 * What a successor must know about an attached kernel device and cannot ask the kernel: one file for each device, from its attachment
 * to its end. `version` is raised when an older daemon would misread it; a record of another version is as good as none.
 */
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { makePrivateDirectory } from './runtime-directory.ts';

const recordSchema = z.object({
  version: z.literal(1),
  index: z.number().int().nonnegative(),
  backendIdentifier: z.string(),
  /** Which volume it is, apart from the identity of its logical unit. */
  owner: z.string(),
  sockets: z.number().int().positive(),
  sizeBytes: z.number().int().positive(),
  blockSize: z.number().int().positive(),
  readOnly: z.boolean(),
  deadConnTimeoutSeconds: z.number().nonnegative(),
  /** Every socket has been left at a request boundary, and whoever gets them may go on from there. */
  handedOver: z.boolean(),
  /** Since when nobody has served it, as far as a daemon knows: seconds since boot. */
  unservedSince: z.number().optional(),
});

export type DeviceRecord = Readonly<z.infer<typeof recordSchema>>;

const namePattern = /^nbd\d+\.json$/;

export class DeviceRecords {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Of /dev/nbd`index`; undefined when there is none that can be used. */
  read(index: number): DeviceRecord | undefined {
    const record = this.#parse(this.#path(index));
    return record?.index === index ? record : undefined;
  }

  /** Replaces the record of its device in one step. */
  write(record: DeviceRecord): void {
    makePrivateDirectory(this.#directory);
    const path = this.#path(record.index);
    writeFileSync(`${path}.new`, `${JSON.stringify(record)}\n`, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  remove(index: number): void {
    rmSync(this.#path(index), { force: true });
  }

  all(): DeviceRecord[] {
    return this.#names().flatMap((name) => this.#parse(join(this.#directory, name)) ?? []);
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory).filter((name) => namePattern.test(name));
    } catch {
      return [];
    }
  }

  #parse(path: string): DeviceRecord | undefined {
    try {
      return recordSchema.safeParse(JSON.parse(readFileSync(path, 'utf8'))).data;
    } catch {
      return undefined;
    }
  }

  #path(index: number): string {
    return join(this.#directory, `nbd${index}.json`);
  }
}
