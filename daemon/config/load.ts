import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import type { z } from 'zod';
import { ConfigurationError } from '../../src/errors.ts';
import { locateKey } from './locate.ts';
import { configSchema, type Config } from './schema.ts';

/** Reads and checks a configuration file. Throws ConfigurationError naming file, line and key of everything that is wrong. */
export function loadConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigurationError('config-unreadable', `${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  return parseConfig(text, path);
}

/** The same from a text; `path` is for messages. */
export function parseConfig(text: string, path: string): Config {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const reason = error.message.split('\n')[0];
    throw new ConfigurationError('config-syntax', `${path}:${error.line}: ${reason}`);
  }
  const result = configSchema.safeParse(document);
  if (result.success) return result.data;
  const problems = result.error.issues.flatMap((issue) => describe(issue, text, path));
  throw new ConfigurationError('config-invalid', problems.join('\n'));
}

function describe(issue: z.core.$ZodIssue, text: string, path: string): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => line([...issue.path, key], 'unknown key', text, path));
  }
  return [line(issue.path, issue.message, text, path)];
}

function line(
  keyPath: readonly PropertyKey[],
  message: string,
  text: string,
  path: string,
): string {
  const at = locateKey(text, keyPath);
  const key = keyPath
    .map((part) => (typeof part === 'number' ? `#${part + 1}` : String(part)))
    .join('.');
  return `${path}${at === undefined ? '' : `:${at}`}: ${key}: ${message}`;
}
