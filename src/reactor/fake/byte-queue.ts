/** Bytes in transit between a fake stream and its test peer. Grows as needed: tests only. */
export class ByteQueue {
  #bytes = new Uint8Array(0);

  get length(): number {
    return this.#bytes.length;
  }

  push(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#bytes.length + bytes.length);
    joined.set(this.#bytes);
    joined.set(bytes, this.#bytes.length);
    this.#bytes = joined;
  }

  /** The first `length` bytes (fewer when there are fewer), removed. */
  take(length: number): Uint8Array {
    const taken = this.#bytes.slice(0, length);
    this.#bytes = this.#bytes.slice(length);
    return taken;
  }

  /** A copy of everything, left in place. */
  peek(): Uint8Array {
    return this.#bytes.slice();
  }

  clear(): void {
    this.#bytes = new Uint8Array(0);
  }
}
