/**
 * How many commands may be outstanding at the target, by additive increase and multiplicative decrease: TASK SET FULL (SAM)
 * halves it, a whole depth of answers without one raises it by one.
 */
export class QueueDepth {
  readonly #maximum: number;
  #depth: number;
  #answered = 0;
  #sent = 0;
  /** Commands up to this send number were sent before the last halving: their TASK SET FULL is the same congestion. */
  #halvedAt = 0;

  constructor(maximum: number) {
    this.#maximum = maximum;
    this.#depth = maximum;
  }

  get current(): number {
    return this.#depth;
  }

  /** A command goes out: its send number, to be given back to `onTaskSetFull`. */
  onSent(): number {
    return ++this.#sent;
  }

  onAnswered(): void {
    if (this.#depth >= this.#maximum || ++this.#answered < this.#depth) return;
    this.#answered = 0;
    this.#depth++;
  }

  /** `outstanding` counts this command. One burst of refusals halves once. */
  onTaskSetFull(sendNumber: number, outstanding: number): void {
    if (sendNumber <= this.#halvedAt) return;
    this.#halvedAt = this.#sent;
    this.#answered = 0;
    this.#depth = Math.max(1, Math.min(this.#depth, outstanding) >> 1);
  }

  /** A new connection starts with the full depth again. */
  reset(): void {
    this.#depth = this.#maximum;
    this.#answered = 0;
    this.#halvedAt = this.#sent;
  }
}
