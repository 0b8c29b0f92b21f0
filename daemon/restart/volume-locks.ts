/** Locks that keep two daemons from serving the same thing. They are flock(2)s: one that its holder has died of blocks nobody. */
import { createHash } from 'node:crypto';
import { ftruncateSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { CodedError } from '../../src/errors.ts';
import type { NativeError } from '../../src/reactor/native.ts';
import { system, type System } from '../system.ts';
import type { Inheritance } from './inheritance.ts';
import { makePrivateDirectory } from './runtime-directory.ts';

export interface VolumeLock {
  /** For a successor that inherits it (see Inheritance). */
  readonly name: string;
  readonly fd: number;
  /** Idempotent. */
  release(): void;
}

export interface VolumeLocksOptions {
  /** Made if it does not exist. */
  readonly directory: string;
  readonly inheritance: Pick<Inheritance, 'take'>;
  readonly calls?: Pick<System, 'lockFile' | 'closeFd'>;
}

export class VolumeLocks {
  readonly #directory: string;
  readonly #inheritance: Pick<Inheritance, 'take'>;
  readonly #calls: Pick<System, 'lockFile' | 'closeFd'>;

  constructor({ directory, inheritance, calls = system }: VolumeLocksOptions) {
    this.#directory = directory;
    this.#inheritance = inheritance;
    this.#calls = calls;
  }

  /**
   * Takes the lock of `subject`, which is shown to people. Throws a CodedError `already-served` that names who has it, or a
   * NativeError.
   */
  take(subject: string): VolumeLock {
    const name = `lock-${createHash('sha256').update(subject).digest('hex').slice(0, 32)}`;
    const path = join(this.#directory, name);
    const fd = this.#inheritance.take(name) ?? this.#open(path, subject);
    // For whoever is refused; the lock itself is the open file.
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n${subject}\n`, 0);
    let held = true;
    return {
      name,
      fd,
      release: () => {
        if (held) this.#calls.closeFd(fd);
        held = false;
      },
    };
  }

  #open(path: string, subject: string): number {
    makePrivateDirectory(this.#directory);
    try {
      return this.#calls.lockFile(path);
    } catch (error) {
      if ((error as NativeError).code !== 'EAGAIN') throw error;
      throw new CodedError('already-served', `${subject} is served by ${holder(path)}`, {
        cause: error,
      });
    }
  }
}

/** The process that has written the file: "process 42 (iserd --config …)". */
function holder(path: string): string {
  try {
    const pid = Number(readFileSync(path, 'utf8').split('\n')[0]);
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
    return `process ${pid} (${command})`;
  } catch {
    return 'another process';
  }
}
