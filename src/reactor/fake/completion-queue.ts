import type { ObjectId } from '../reactor.ts';

/** Thrown when the code under test breaks the reactor's contract. Also kept in `violations`, should a caller swallow it. */
export class FakeContractViolation extends Error {
  constructor(message: string) {
    super(`reactor contract broken: ${message}`);
    this.name = 'FakeContractViolation';
  }
}

interface Item {
  readonly object: ObjectId;
  readonly deliver: () => void;
}

/** More turns than this without coming to rest: two parties answer each other for ever. */
const maximumTurns = 200_000;

/**
 * The fake's event loop: completions wait here until a test runs them. One turn delivers what was queued when it began, in
 * order, then calls the batch-end listeners. Items of closed objects are dropped, as the native reactor does.
 */
export class FakeCompletionQueue {
  readonly violations: string[] = [];
  readonly batchEndListeners: (() => void)[] = [];
  /** See Reactor. */
  turn = 0;
  #lastTurn = 0;
  readonly #live = new Map<ObjectId, string>();
  readonly #held = new Map<ObjectId, Item[]>();
  #items: Item[] = [];
  #nextIndex = 1;
  #running = false;

  get openObjects(): number {
    return this.#live.size;
  }

  get pending(): number {
    return this.#items.length;
  }

  openKinds(): string[] {
    return [...this.#live.values()];
  }

  /** A new id: index in the low 16 bits, generation above, as layout.ts has it. */
  openObject(kind: string): ObjectId {
    const index = this.#nextIndex++;
    const id = (index & 0xffff) | (((index >>> 16) + 1) << 16);
    this.#live.set(id, kind);
    return id;
  }

  closeObject(object: ObjectId): void {
    this.#live.delete(object);
    this.#held.delete(object);
  }

  isOpen(object: ObjectId): boolean {
    return this.#live.has(object);
  }

  violation(message: string): never {
    this.violations.push(message);
    throw new FakeContractViolation(message);
  }

  /** A completion: a sink method to call, held back when the test holds the object's completions. */
  complete(object: ObjectId, deliver: () => void): void {
    const held = this.#held.get(object);
    (held ?? this.#items).push({ object, deliver });
  }

  /** Work of the fake itself (moving bytes): never held. */
  later(object: ObjectId, action: () => void): void {
    this.#items.push({ object, deliver: action });
  }

  hold(object: ObjectId): void {
    if (!this.#held.has(object)) this.#held.set(object, []);
  }

  /** Lets held completions go, in the order that `arrange` gives them (default: as they came). */
  resume(object: ObjectId, arrange: 'inOrder' | 'reversed'): void {
    const held = this.#held.get(object) ?? [];
    this.#held.delete(object);
    if (arrange === 'reversed') held.reverse();
    this.#items.push(...held);
  }

  runTurn(): void {
    if (this.#running) this.violation('run() called from within a completion');
    const batch = this.#items;
    this.#items = [];
    this.#running = true;
    try {
      this.turn = ++this.#lastTurn;
      for (const item of batch) if (this.#live.has(item.object)) item.deliver();
      this.turn = ++this.#lastTurn;
      for (const listener of this.batchEndListeners.slice()) listener();
    } finally {
      this.#running = false;
      this.turn = 0;
    }
  }

  /** Turns until nothing is queued; returns how many there were. */
  run(): number {
    if (this.#running) this.violation('run() called from within a completion');
    let turns = 0;
    while (this.#items.length > 0) {
      this.runTurn();
      if (++turns > maximumTurns) throw new Error(`no rest after ${turns} turns`);
    }
    return turns;
  }

  clear(): void {
    this.#items = [];
    this.#held.clear();
    this.#live.clear();
    this.batchEndListeners.length = 0;
  }
}
