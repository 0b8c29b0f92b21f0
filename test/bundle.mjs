// Bundles the programs and their worker threads, with what they need from npm, into dist/bin: some 300 small files would be
// opened and parsed at every start otherwise, which takes three times as long.
import { build } from 'esbuild';
import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const workers = (await readdir('daemon', { recursive: true }))
  .filter((path) => path.endsWith('worker.ts'))
  .map((path) => `daemon/${path}`);
await build({
  entryPoints: ['daemon/iserd.ts', 'daemon/iserctl.ts', ...workers].map((path) => ({
    in: path,
    out: basename(path, '.ts'),
  })),
  outdir: 'dist/bin',
  bundle: true,
  // What several of them need is in files of its own, beside them: each file finds the workers next to itself.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  // CommonJS modules among the dependencies call require.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
  logLevel: 'warning',
});
