import { noEntry } from './registration-table.ts';

/** Idle entries in the order in which they became idle: a doubly linked list in two columns. */
export class IdleList {
  readonly #previous: Int32Array;
  readonly #next: Int32Array;
  #oldest = noEntry;
  #newest = noEntry;

  constructor(capacity: number) {
    this.#previous = new Int32Array(capacity);
    this.#next = new Int32Array(capacity);
  }

  /** Idle for the longest time, or noEntry. */
  get oldest(): number {
    return this.#oldest;
  }

  push(entry: number): void {
    this.#previous[entry] = this.#newest;
    this.#next[entry] = noEntry;
    if (this.#newest === noEntry) this.#oldest = entry;
    else this.#next[this.#newest] = entry;
    this.#newest = entry;
  }

  remove(entry: number): void {
    const previous = this.#previous[entry];
    const next = this.#next[entry];
    if (previous === noEntry) this.#oldest = next;
    else this.#next[previous] = next;
    if (next === noEntry) this.#newest = previous;
    else this.#previous[next] = previous;
  }
}
