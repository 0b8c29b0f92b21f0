import { ConfigurationError } from '../../src/errors.ts';

const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
};

/** "64MiB", "512k", "1G", "4096" to bytes; units are powers of 1024. Throws ConfigurationError. */
export function parseSize(text: string): number {
  const match = /^(\d+)\s*(?:([kmgt])(?:i?b)?|b)?$/i.exec(text.trim());
  if (match === null)
    throw new ConfigurationError('bad-size', `"${text}" is not a size such as 64MiB or 1G`);
  const bytes = Number(match[1]) * units[(match.at(2) ?? '').toLowerCase()];
  if (!Number.isSafeInteger(bytes))
    throw new ConfigurationError('bad-size', `"${text}" is too large`);
  return bytes;
}

/** Bytes in the largest binary unit that leaves at most one decimal: 268435456 -> "256 MiB". */
export function formatSize(bytes: number): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${Number.isInteger(value) ? String(value) : value.toFixed(1)} ${names[unit]}`;
}
