/** Keys outside of volumes: which of them a running daemon can take up. */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from './schema.ts';

/** Taken up without a restart: what the volumes make of the name, limits for clients that come from now on, the level of the log. */
const liveTables: ReadonlySet<string> = new Set<keyof Config>([
  'initiator',
  'limits',
  'log',
  'volume',
]);

/** "table.key" of everything that differs and that only a new process takes up. */
export function restartKeys(running: Config, wanted: Config): string[] {
  const tables = Object.keys(wanted).filter((table) => !liveTables.has(table));
  return tables.flatMap((table) =>
    changedKeys(table, tableOf(running, table), tableOf(wanted, table)),
  );
}

function changedKeys(
  table: string,
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])]
    .filter((key) => !isDeepStrictEqual(before[key], after[key]))
    .map((key) => `${table}.${key}`);
}

function tableOf(config: Config, table: string): Readonly<Record<string, unknown>> {
  return ((config as Readonly<Record<string, unknown>>)[table] ?? {}) as Readonly<
    Record<string, unknown>
  >;
}
