import { readFileSync } from 'node:fs';
import { z } from 'zod';

/** Of the programs, from the package.json two directories above: that of the sources, or the one they are installed with. */
export function programVersion(): string {
  const path = new URL('../../package.json', import.meta.url);
  return z.object({ version: z.string() }).parse(JSON.parse(readFileSync(path, 'utf8'))).version;
}
