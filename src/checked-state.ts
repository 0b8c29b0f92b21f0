import { assert } from './errors.ts';

/** For each state, the states that may follow it. */
export type TransitionTable<S extends string> = Readonly<Record<S, readonly S[]>>;

/** A state whose every change is checked against a table: an illegal one is a bug of ours and is named with both states. */
export class CheckedState<S extends string> {
  readonly #name: string;
  readonly #table: TransitionTable<S>;
  #current: S;

  constructor(name: string, table: TransitionTable<S>, initial: S) {
    this.#name = name;
    this.#table = table;
    this.#current = initial;
  }

  get current(): S {
    return this.#current;
  }

  enter(next: S): void {
    assert(
      this.#table[this.#current].includes(next),
      `${this.#name}: ${this.#current} -> ${next} is not a transition`,
    );
    this.#current = next;
  }
}
