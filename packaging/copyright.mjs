// Prints the package's copyright file: ours, and the licences of what the bundled programs contain.
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'));
const paragraphs = Object.entries(packages)
  .filter(([path, { dev, optional }]) => path !== '' && !dev && !optional)
  .map(([path, { version, license }]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    const file = readdirSync(path).find((entry) => /^licen[cs]e/i.test(entry));
    const text =
      file === undefined ? `License: ${license}` : readFileSync(`${path}/${file}`, 'utf8');
    return `${'-'.repeat(80)}\n${name} ${version} (${license})\n\n${text.trim()}\n`;
  });
const ours = readFileSync('packaging/debian/copyright.in', 'utf8');
console.log([ours, ...paragraphs].join('\n').replaceAll('\r', '').trimEnd());
