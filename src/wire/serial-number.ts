/** Serial number arithmetic on 32 bits (RFC 1982 as RFC 7143 §4.2.2.1 uses it). Numbers are unsigned 32-bit. */

/** a < b in serial arithmetic. */
export function serialLess(a: number, b: number): boolean {
  return ((a - b) | 0) < 0;
}

/** a <= b in serial arithmetic. */
export function serialLessOrEqual(a: number, b: number): boolean {
  return ((a - b) | 0) <= 0;
}

/** a + n modulo 2^32. */
export function serialAdd(a: number, n: number): number {
  return (a + n) >>> 0;
}
