/** The packages that test/system/run.sh has built: one to install, and a newer one. */
import { readFileSync } from 'node:fs';
import { runOk } from '../helpers/programs.ts';

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
  return (await runOk('/usr/bin/iserctl', argv)).trim();
}
