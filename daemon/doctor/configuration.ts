/** The configuration: whether it can be read, and whether the files it names are what they must be. */
import { dirname } from 'node:path';
import { ConfigurationError } from '../../src/errors.ts';
import type { Config, VolumeConfig } from '../config/schema.ts';
import { note, ok, wrong, type Finding } from './finding.ts';
import type { Machine } from './machine.ts';

export interface ConfigurationSources {
  /** Throws ConfigurationError with a line for each defect; code `config-unreadable`: no such file, or not ours to read. */
  readonly load: (path: string) => Config;
  /** Throws ConfigurationError when a file of secrets or keys is not safe. */
  readonly readSafe: (path: string) => unknown;
}

export interface CheckedConfiguration {
  readonly findings: readonly Finding[];
  /** undefined: none, or it cannot be used. */
  readonly config: Config | undefined;
}

/** `isExpected`: the path was asked for, so that its absence is wrong. */
export function checkConfiguration(
  machine: Machine,
  { load, readSafe }: ConfigurationSources,
  path: string,
  isExpected: boolean,
): CheckedConfiguration {
  if (!isExpected && machine.access(path) === 'ENOENT') {
    return { findings: [note(`there is no ${path}: checked without volumes`)], config: undefined };
  }
  let config: Config;
  try {
    config = load(path);
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    const cure =
      error.code === 'config-unreadable' ? 'check path and permissions' : 'correct this line';
    const defects = error.message.split('\n').map((line) => wrong(line, cure));
    return { findings: defects, config: undefined };
  }
  const count = config.volume.length;
  const volumes = `${count} volume${count === 1 ? '' : 's'}`;
  return {
    findings: [
      ok(`${path} can be used: ${volumes}`),
      ...config.volume.flatMap((volume) => checkFiles(readSafe, volume)),
      ...config.volume.flatMap((volume) => checkSocket(machine, config, volume)),
    ],
    config,
  };
}

function checkFiles(readSafe: (path: string) => unknown, volume: VolumeConfig): Finding[] {
  const files = [volume.chap_secret_file, volume.mutual_chap_secret_file, volume.tls_key];
  return files.flatMap((file) => {
    if (file === undefined) return [];
    try {
      readSafe(file);
      return [];
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      const cure = `make it a file of mode 0600 of root or the daemon's user, in directories that nobody else can write to`;
      return [wrong(`volume ${volume.name}: ${error.message}`, cure)];
    }
  });
}

/** The daemon makes the directory of its control socket, and no other. */
function checkSocket(machine: Machine, config: Config, volume: VolumeConfig): Finding[] {
  if (volume.socket === undefined) return [];
  const directory = dirname(volume.socket);
  if (directory === dirname(config.control.socket)) return [];
  const refusal = machine.access(directory);
  if (refusal === '') return [];
  const message = `volume ${volume.name}: its socket cannot be made in ${directory} (${refusal})`;
  return [wrong(message, 'make the directory, or choose one under /run/iserd')];
}
