import { assert } from '../errors.ts';

/** A preallocated queue of request slots; a slot is in it at most once, so a table's capacity is enough. */
export class RequestRing {
  readonly #slots: Int32Array;
  #head = 0;
  #length = 0;

  constructor(capacity: number) {
    this.#slots = new Int32Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  push(request: number): void {
    assert(this.#length < this.#slots.length, 'request ring is full');
    this.#slots[(this.#head + this.#length) % this.#slots.length] = request;
    this.#length++;
  }

  /** Puts a request back at the front. */
  unshift(request: number): void {
    assert(this.#length < this.#slots.length, 'request ring is full');
    this.#head = (this.#head + this.#slots.length - 1) % this.#slots.length;
    this.#slots[this.#head] = request;
    this.#length++;
  }

  /** The oldest request. Never called on an empty ring. */
  shift(): number {
    assert(this.#length > 0, 'request ring is empty');
    const request = this.#slots[this.#head];
    this.#head = (this.#head + 1) % this.#slots.length;
    this.#length--;
    return request;
  }
}
