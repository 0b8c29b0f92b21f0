// Prints the package's copyright file: ours, and the licences of what the bundled programs contain.
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const paragraphs = Object.entries(packages)
  .filter(([path, { dev, optional }]) => path !== '' && !dev && !optional)
  .map(([path, { version, license }]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const text = commonLicense(license) ?? ownLicense(path) ?? `License: ${license}`;
    return `${'-'.repeat(80)}\n${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
const ours = readFileSync('packaging/debian/copyright.in', 'utf8');
console.log([ours, ...paragraphs].join('\n').replaceAll('\r', '').trimEnd());

/** Debian has the texts of some licences on every machine, and wants no copies. */
function commonLicense(license) {
  if (license !== 'Apache-2.0') return undefined;
  return `Licensed under the Apache License, Version 2.0.\nOn Debian systems its text is in /usr/share/common-licenses/${license}.`;
}

function ownLicense(path) {
  const file = readdirSync(path).find((entry) => /^licen[cs]e/i.test(entry));
  return file === undefined ? undefined : readFileSync(`${path}/${file}`, 'utf8');
}
