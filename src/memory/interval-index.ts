import { noEntry } from './registration-table.ts';
import type { RegistrationTable } from './registration-table.ts';

/** Combinations of the four access bits. */
const accessMasks = 16;

/**
 * Finds registrations by range and rights. Per access mask the entries are an antichain, sorted by start: none contains
 * another, so their ends ascend too, and the last entry that starts at or before an offset is the one that reaches furthest. That
 * makes a superset lookup one binary search per mask in use.
 */
export class IntervalIndex {
  readonly #table: RegistrationTable;
  /** Entries sorted by start; allocated when a mask is first used. */
  readonly #sorted: (Int32Array | undefined)[] = new Array<Int32Array | undefined>(
    accessMasks,
  ).fill(undefined);
  readonly #counts = new Uint32Array(accessMasks);

  constructor(table: RegistrationTable) {
    this.#table = table;
  }

  /** An entry that covers [offset, end) and has all rights of `access`, or noEntry. */
  find(offset: number, end: number, access: number): number {
    for (let mask = access; mask < accessMasks; mask = (mask + 1) | access) {
      const sorted = this.#sorted[mask];
      if (sorted === undefined) continue;
      const at = this.#firstStartAfter(sorted, this.#counts[mask], offset) - 1;
      if (at >= 0 && this.#table.end[sorted[at]] >= end) return sorted[at];
    }
    return noEntry;
  }

  /** The caller has removed what the entry contains, and nothing contains the entry. */
  insert(entry: number): void {
    const mask = this.#table.access[entry];
    const sorted = (this.#sorted[mask] ??= new Int32Array(this.#table.capacity));
    const count = this.#counts[mask];
    const at = this.#firstStartAfter(sorted, count, this.#table.start[entry]);
    sorted.copyWithin(at + 1, at, count);
    sorted[at] = entry;
    this.#counts[mask] = count + 1;
  }

  remove(entry: number): void {
    const mask = this.#table.access[entry];
    const sorted = this.#sorted[mask];
    if (sorted === undefined) return;
    const count = this.#counts[mask];
    const at = this.#firstStartAfter(sorted, count, this.#table.start[entry]) - 1;
    sorted.copyWithin(at, at + 1, count);
    this.#counts[mask] = count - 1;
  }

  /** Writes the entries that overlap [offset, end) to `found`; returns how many there are. */
  overlapping(offset: number, end: number, found: Int32Array): number {
    let count = 0;
    for (let mask = 0; mask < accessMasks; mask++) {
      const sorted = this.#sorted[mask];
      if (sorted === undefined) continue;
      for (let at = this.#firstStartAfter(sorted, this.#counts[mask], end - 1) - 1; at >= 0; at--) {
        if (this.#table.end[sorted[at]] <= offset) break;
        found[count++] = sorted[at];
      }
    }
    return count;
  }

  /** Writes the entries that lie within [offset, end) and have no right beyond `access` to `found`; returns how many. */
  contained(offset: number, end: number, access: number, found: Int32Array): number {
    let count = 0;
    for (let mask = 0; mask <= access; mask++) {
      const sorted = this.#sorted[mask];
      if (sorted === undefined || (mask & access) !== mask) continue;
      const last = this.#counts[mask];
      for (let at = this.#firstStartAfter(sorted, last, offset - 1); at < last; at++) {
        if (this.#table.end[sorted[at]] > end) break;
        found[count++] = sorted[at];
      }
    }
    return count;
  }

  #firstStartAfter(sorted: Int32Array, count: number, offset: number): number {
    const start = this.#table.start;
    let low = 0;
    let high = count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (start[sorted[middle]] > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
