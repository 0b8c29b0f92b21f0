import type { ObjectId } from './reactor.ts';

const indexMask = 0xffff;

/** The sinks of one kind of native object, found by id: index in the low 16 bits, generation above. */
export class SinkTable<Sink> {
  #sinks: (Sink | undefined)[] = [];
  #ids: ObjectId[] = [];

  /** Returns the id, so that opening and registering are one expression. */
  set(id: ObjectId, sink: Sink): ObjectId {
    const index = id & indexMask;
    // Filled up without holes: the arrays stay the fast kind.
    while (this.#sinks.length <= index) {
      this.#sinks.push(undefined);
      this.#ids.push(0);
    }
    this.#sinks[index] = sink;
    this.#ids[index] = id;
    return id;
  }

  /** Undefined when the object is closed or is of another kind. */
  get(id: ObjectId): Sink | undefined {
    const index = id & indexMask;
    return this.#ids[index] === id ? this.#sinks[index] : undefined;
  }

  delete(id: ObjectId): void {
    const index = id & indexMask;
    if (this.#ids[index] !== id) return;
    this.#sinks[index] = undefined;
    this.#ids[index] = 0;
  }

  clear(): void {
    this.#sinks = [];
    this.#ids = [];
  }
}
