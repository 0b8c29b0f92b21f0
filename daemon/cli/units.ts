/** Numbers for people: three digits are enough to compare by eye. */

/** "310 us", "1.25 ms", "12.5 s"; with unicode "310 µs". */
export function formatDuration(microseconds: number, unicode: boolean): string {
  if (microseconds < 1000) return `${threeDigits(microseconds)} ${unicode ? 'µs' : 'us'}`;
  if (microseconds < 1e6) return `${threeDigits(microseconds / 1000)} ms`;
  return `${threeDigits(microseconds / 1e6)} s`;
}

/** "1,234,567": for what is counted. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US', { maximumFractionDigits: 0 });
}

/** At most three digits that tell something, no exponent: 0, 0.25, 3.2, 12.5, 999, 1234. */
function threeDigits(value: number): string {
  const decimals = value >= 99.95 || Number.isInteger(value) ? 0 : value >= 9.995 ? 1 : 2;
  return value.toFixed(decimals);
}
