/** The configuration: a main file and, beside it, conf.d/*.toml with more volumes. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ConfigurationError } from '../../src/errors.ts';
import { clashes } from './clashes.ts';
import {
  parseToml,
  placeOf,
  problemAt,
  readConfigText,
  schemaProblems,
  type ConfigText,
} from './config-text.ts';
import { mainSchema, volumeSchema, type Config, type VolumeConfig } from './schema.ts';

/** A volume, and the table of a file that it comes from. */
export interface LocatedVolume {
  readonly config: VolumeConfig;
  readonly file: ConfigText;
  /** Of its table, among those of the file. */
  readonly index: number;
}

export interface ConfigReading {
  /** undefined when anything is wrong. */
  readonly config: Config | undefined;
  /** Those that can be understood, in the order of the files. */
  readonly volumes: readonly LocatedVolume[];
  /** Everything that is wrong, a line each, with file, line and key. */
  readonly problems: readonly string[];
}

/** Reads the file at `path` and conf.d/*.toml beside it, sorted by name. Throws ConfigurationError when the main file cannot be read. */
export function readConfig(path: string): ConfigReading {
  const main = readConfigText(path);
  const problems: string[] = [];
  const directory = join(dirname(path), 'conf.d');
  const dropIns = (attempt(problems, () => dropInPaths(directory)) ?? []).flatMap(
    (dropIn) => attempt(problems, () => readConfigText(dropIn)) ?? [],
  );
  return understand(main, dropIns, problems);
}

/** Throws ConfigurationError with everything that is wrong, but for the files that the configuration names. */
export function loadConfig(path: string): Config {
  return accepted(readConfig(path));
}

/** The text of a main file without others beside it; `path` is for messages. Throws ConfigurationError with everything that is wrong. */
export function parseConfig(text: string, path: string): Config {
  return accepted(understand({ path, text }, [], []));
}

/** Volumes of a file that may hold nothing else: conf.d, or volumes that were attached at run time. */
export function readVolumes(file: ConfigText): Omit<ConfigReading, 'config'> {
  const problems: string[] = [];
  const document = attempt(problems, () => parseToml(file)) ?? {};
  const volumes = volumesOf(file, document, problems);
  for (const key of Object.keys(document)) {
    if (key !== 'volume')
      problems.push(
        problemAt(
          file,
          [key],
          'only [[volume]] may stand here; other tables belong into the main file',
        ),
      );
  }
  return { volumes, problems };
}

/** "FILE:LINE: volume.#N.KEY: MESSAGE". */
export function volumeProblem(
  { file, index }: LocatedVolume,
  key: keyof VolumeConfig,
  message: string,
): string {
  return problemAt(file, ['volume', index, key], message);
}

function accepted({ config, problems }: ConfigReading): Config {
  if (config === undefined) throw new ConfigurationError('config-invalid', problems.join('\n'));
  return config;
}

function understand(
  main: ConfigText,
  dropIns: readonly ConfigText[],
  problems: string[],
): ConfigReading {
  const { volume, ...rest } = attempt(problems, () => parseToml(main)) ?? {};
  const result = mainSchema.safeParse(rest);
  if (!result.success) problems.push(...schemaProblems(main, result.error.issues));
  const volumes = volumesOf(main, { volume }, problems);
  for (const dropIn of dropIns) {
    const more = readVolumes(dropIn);
    volumes.push(...more.volumes);
    problems.push(...more.problems);
  }
  for (const { key, value, first, second } of clashes(volumes.map(({ config }) => config))) {
    const { file, index } = volumes[first];
    const place = placeOf(file, ['volume', index, key]);
    problems.push(
      volumeProblem(volumes[second], key, `"${value}" is used twice, first in ${place}`),
    );
  }
  const config =
    result.success && problems.length === 0
      ? { ...result.data, volume: volumes.map((located) => located.config) }
      : undefined;
  return { config, volumes, problems };
}

function volumesOf(
  file: ConfigText,
  { volume: tables = [] }: Readonly<Record<string, unknown>>,
  problems: string[],
): LocatedVolume[] {
  if (!Array.isArray(tables)) {
    problems.push(problemAt(file, ['volume'], 'must be [[volume]], once for each volume'));
    return [];
  }
  return tables.flatMap((table: unknown, index): LocatedVolume[] => {
    const result = volumeSchema.safeParse(table);
    if (!result.success) {
      problems.push(...schemaProblems(file, result.error.issues, ['volume', index]));
      return [];
    }
    return [{ config: result.data, file, index }];
  });
}

/** Nothing when there is no such directory. */
function dropInPaths(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return namesIn(directory)
    .filter((name) => name.endsWith('.toml') && !name.startsWith('.'))
    .sort()
    .map((name) => join(directory, name));
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    throw new ConfigurationError('config-unreadable', `${directory}: ${(error as Error).message}`);
  }
}

function attempt<T>(problems: string[], action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems.push(error.message);
    return undefined;
  }
}
