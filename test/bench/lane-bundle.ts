import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const program = fileURLToPath(new URL('lane-program.ts', import.meta.url));
const bundles = new Map<string, Promise<string>>();

/**
 * The lane program as one file, as test/bundle.mjs makes the daemon's lanes: run from its sources by tsx it would not be the same
 * code. `tree` is a checkout whose addon is built; the lane is made of its sources.
 */
export function laneBundle(tree: string): Promise<string> {
  const bundle = bundles.get(tree) ?? makeBundle(tree);
  bundles.set(tree, bundle);
  return bundle;
}

async function makeBundle(tree: string): Promise<string> {
  // As far from the addon as dist/bin, where the daemon's are.
  const outfile = join(tree, 'dist/bench/lane-program.js');
  await build({
    entryPoints: [program],
    outfile,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    plugins: [sourcesOf(tree)],
    logLevel: 'warning',
  });
  return outfile;
}

/** What the program imports from the sources comes from the tree. */
function sourcesOf(tree: string): Plugin {
  const up = '../../';
  return {
    name: 'sources of the tree',
    setup: (hooks) => {
      hooks.onResolve({ filter: /^\.\.\/\.\.\/(daemon|src)\// }, ({ path, importer }) =>
        importer === program ? { path: join(tree, path.slice(up.length)) } : undefined,
      );
    },
  };
}
