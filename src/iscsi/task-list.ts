import { assert } from '../errors.ts';

const absent = -2;

/**
 * A list of task slots as links in typed arrays: every step is O(1) and allocates nothing, but `insert`, which looks for its
 * place from the front. A task is at most once in a list.
 */
export class TaskList {
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  #first = -1;
  #last = -1;
  #size = 0;

  constructor(capacity: number) {
    this.#next = new Int32Array(capacity).fill(absent);
    this.#previous = new Int32Array(capacity).fill(absent);
  }

  /** -1 when empty. */
  get first(): number {
    return this.#first;
  }

  get last(): number {
    return this.#last;
  }

  get size(): number {
    return this.#size;
  }

  /** The task after this one, or -1. Read it before the task is removed. */
  next(task: number): number {
    return this.#next[task];
  }

  append(task: number): void {
    this.#link(task, this.#last, -1);
  }

  /** Puts the task before the first one whose `order` is greater: back into submit order. */
  insert(task: number, order: Float64Array): void {
    let after = this.#first;
    while (after !== -1 && order[after] < order[task]) after = this.#next[after];
    this.#link(task, after === -1 ? this.#last : this.#previous[after], after);
  }

  remove(task: number): void {
    assert(this.#next[task] !== absent, 'task is not in this list');
    const previous = this.#previous[task];
    const next = this.#next[task];
    if (previous === -1) this.#first = next;
    else this.#next[previous] = next;
    if (next === -1) this.#last = previous;
    else this.#previous[next] = previous;
    this.#next[task] = absent;
    this.#previous[task] = absent;
    this.#size--;
  }

  #link(task: number, previous: number, next: number): void {
    assert(this.#next[task] === absent, 'task is in this list already');
    this.#previous[task] = previous;
    this.#next[task] = next;
    if (previous === -1) this.#first = task;
    else this.#next[previous] = task;
    if (next === -1) this.#last = task;
    else this.#previous[next] = task;
    this.#size++;
  }
}
