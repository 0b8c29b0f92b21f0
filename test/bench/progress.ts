/** A line for each step of a long run, with an estimate of what is left. */
export class Progress {
  #total: number;
  readonly #started = performance.now();
  #done = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** So many steps will not be made. */
  skip(steps: number): void {
    this.#total -= steps;
  }

  /** `outcome` is IOPS, or what went wrong. */
  step(name: string, outcome: number | string): void {
    this.#done++;
    const perStepMs = (performance.now() - this.#started) / this.#done;
    const left = durationText(perStepMs * Math.max(0, this.#total - this.#done));
    const said = typeof outcome === 'number' ? `${Math.round(outcome)} IOPS` : `failed: ${outcome}`;
    console.log(`[${this.#done}/${this.#total}, ${left} left] ${name}: ${said}`);
  }
}

/** "2 h 5 min", "5 min", "40 s" */
export function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
