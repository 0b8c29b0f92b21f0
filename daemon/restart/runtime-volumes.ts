/**
 * Volumes that were attached at run time, kept where a restarted daemon finds them and a reboot does not: a file for each, as TOML, in a
 * directory of the daemon's own. A daemon is known by its control socket, which no two have.
 */
import { createHash } from 'node:crypto';
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'smol-toml';
import { readConfigText } from '../config/config-text.ts';
import { readVolumes, type ConfigReading } from '../config/load.ts';
import { makePrivateDirectory } from './runtime-directory.ts';

const suffix = '.toml';

export class RuntimeVolumes {
  readonly #directory: string;
  readonly #controlSocket: string;

  /** `directory`: of all daemons. */
  constructor(directory: string, controlSocket: string) {
    const daemon = createHash('sha256').update(controlSocket).digest('hex').slice(0, 32);
    this.#directory = join(directory, 'volumes', daemon);
    this.#controlSocket = controlSocket;
  }

  /** Keeps a volume, by the keys of a [[volume]] as they were given. */
  write(name: string, keys: Readonly<Record<string, unknown>>): void {
    makePrivateDirectory(this.#directory);
    const path = this.#path(name);
    const text = `# Attached by iserctl to the daemon at ${this.#controlSocket}.\n${stringify({ volume: [keys] })}`;
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }

  remove(name: string): void {
    rmSync(this.#path(name), { force: true });
  }

  /** Everything that is kept; what cannot be read or understood is among the problems. */
  read(): Omit<ConfigReading, 'config'> {
    const readings = this.#names().map((name) =>
      readVolumes(readConfigText(join(this.#directory, name))),
    );
    return {
      volumes: readings.flatMap(({ volumes }) => volumes),
      problems: readings.flatMap(({ problems }) => problems),
    };
  }

  #names(): string[] {
    try {
      return readdirSync(this.#directory)
        .filter((name) => name.endsWith(suffix))
        .sort();
    } catch {
      return [];
    }
  }

  #path(name: string): string {
    return join(this.#directory, `${name}${suffix}`);
  }
}
