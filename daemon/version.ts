import { readFileSync } from 'node:fs';

let version: string | undefined;

/** As package.json says, wherever above this file that is; '?' when it is not to be found. */
export function iserdVersion(): string {
  return (version ??= findVersion(new URL('.', import.meta.url)));
}

function findVersion(directory: URL): string {
  try {
    const text = readFileSync(new URL('package.json', directory), 'utf8');
    const { name, version: found } = JSON.parse(text) as { name?: unknown; version?: unknown };
    if (name === 'iserd' && typeof found === 'string') return found;
  } catch {
    // There is none here.
  }
  const parent = new URL('..', directory);
  return parent.href === directory.href ? '?' : findVersion(parent);
}
