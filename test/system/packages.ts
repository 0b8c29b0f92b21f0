/** The packages that test/system/run.sh has built: one to install, and a newer one. */
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run, runOk } from '../helpers/programs.ts';

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const upgradeVersion = `${version}+upgrade`;

export const packages = {
  version,
  first: path(version),
  upgrade: path(upgradeVersion),
  upgradeVersion,
};

function path(of: string): string {
  return `dist/package/iserd_${of}_amd64.deb`;
}

/** What the installed iserctl prints. */
export async function iserctlOfPackage(...argv: readonly string[]): Promise<string> {
  return (await runOk('/usr/bin/iserctl', argv, { cwd: '/' })).trim();
}

/** A Node.js that no package has installed gets an empty one that says so, as README tells. */
export async function registerNode(): Promise<void> {
  const { stdout } = await run('dpkg-query', ['-W', '-f', '${db:Status-Abbrev}', 'nodejs']);
  if (stdout.startsWith('ii')) return;
  const directory = mkdtempSync(join(tmpdir(), 'nodejs-'));
  mkdirSync(join(directory, 'DEBIAN'));
  writeFileSync(
    join(directory, 'DEBIAN/control'),
    `Package: nodejs
Version: ${process.versions.node}
Architecture: all
Maintainer: nobody <nobody@localhost>
Description: stands for the Node.js that is here already
`,
  );
  await runOk('dpkg-deb', ['--build', directory, `${directory}.deb`]);
  await runOk('dpkg', ['--install', `${directory}.deb`]);
}
