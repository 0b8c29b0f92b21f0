/** One file of a configuration: its text, what TOML makes of it, and where in it something stands. */
import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import type { z } from 'zod';
import { ConfigurationError } from '../../src/errors.ts';
import { locateKey } from './locate.ts';

export interface ConfigText {
  /** For messages. */
  readonly path: string;
  readonly text: string;
}

/** Throws ConfigurationError `config-unreadable`. */
export function readConfigText(path: string): ConfigText {
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    throw new ConfigurationError('config-unreadable', `${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Throws ConfigurationError `config-syntax` with file and line. */
export function parseToml({ path, text }: ConfigText): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n')[0];
    throw new ConfigurationError('config-syntax', `${path}:${error.line}: ${reason}`);
  }
}

/** "FILE:LINE: KEY: MESSAGE"; of an array's element the key has the number, from 1. */
export function problemAt(
  file: ConfigText,
  keyPath: readonly PropertyKey[],
  message: string,
): string {
  const key = keyPath
    .map((part) => (typeof part === 'number' ? `#${part + 1}` : String(part)))
    .join('.');
  return `${placeOf(file, keyPath)}: ${key}: ${message}`;
}

/** "FILE:LINE" of a key, or of the closest thing around it. */
export function placeOf({ path, text }: ConfigText, keyPath: readonly PropertyKey[]): string {
  const line = locateKey(text, keyPath);
  return line === undefined ? path : `${path}:${line}`;
}

/** One line for each thing that a schema has found wrong; `prefix` leads to what was checked. */
export function schemaProblems(
  file: ConfigText,
  issues: readonly z.core.$ZodIssue[],
  prefix: readonly PropertyKey[] = [],
  unknownKey = 'unknown key',
): string[] {
  return issues.flatMap((issue) => {
    const path = [...prefix, ...issue.path];
    return issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => problemAt(file, [...path, key], unknownKey))
      : [problemAt(file, path, issue.message)];
  });
}
