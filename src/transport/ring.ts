import { assert } from '../errors.ts';

/** First in, first out, of small integers; of fixed capacity. */
export class Ring {
  readonly #items: Int32Array;
  #head = 0;
  #count = 0;

  constructor(capacity: number) {
    this.#items = new Int32Array(capacity);
  }

  get length(): number {
    return this.#count;
  }

  push(item: number): void {
    assert(this.#count < this.#items.length, 'room in the ring');
    this.#items[(this.#head + this.#count) % this.#items.length] = item;
    this.#count++;
  }

  /** The oldest item; only when there is one. */
  first(): number {
    return this.#items[this.#head];
  }

  shift(): void {
    assert(this.#count > 0, 'an item in the ring');
    this.#head = (this.#head + 1) % this.#items.length;
    this.#count--;
  }

  clear(): void {
    this.#count = 0;
  }
}
