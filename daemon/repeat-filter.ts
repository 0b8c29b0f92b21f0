import type { Timers } from '../src/timers.ts';

/** Lines of one kind that are said in a window; the rest are counted. */
const linesPerWindow = 10;
const windowMs = 60_000;
/** Kinds that are told apart; what comes beyond counts as one. */
const maximumKinds = 1000;
const beyond = '';

interface Window<Line> {
  lines: number;
  repeats: number;
  /** The last one that was only counted. */
  last: Line;
  readonly cancel: () => void;
}

/**
 * How much may be said of the same thing: so many lines a minute, then only how often it was repeated. What a peer provokes, message by message,
 * fills no log that way, and is not lost either.
 */
export class RepeatFilter<Line> {
  readonly #timers: Timers;
  readonly #report: (last: Line, repeats: number, seconds: number) => void;
  readonly #windows = new Map<string, Window<Line>>();

  /** @param report told at the end of a window what was not said in it */
  constructor(timers: Timers, report: (last: Line, repeats: number, seconds: number) => void) {
    this.#timers = timers;
    this.#report = report;
  }

  /** Whether this line may be said. `kind`: what it is about, without what differs from time to time. */
  admits(kind: string, line: Line): boolean {
    const isKnown = this.#windows.has(kind) || this.#windows.size < maximumKinds;
    const key = isKnown ? kind : beyond;
    let window = this.#windows.get(key);
    if (window === undefined) {
      const cancel = this.#timers.schedule(windowMs, () => {
        this.#end(key);
      });
      window = { lines: 0, repeats: 0, last: line, cancel };
      this.#windows.set(key, window);
    }
    if (++window.lines <= linesPerWindow) return true;
    window.repeats++;
    window.last = line;
    return false;
  }

  /** Reports what is still to be reported. */
  close(): void {
    for (const [key, { cancel }] of [...this.#windows]) {
      cancel();
      this.#end(key);
    }
  }

  #end(key: string): void {
    const window = this.#windows.get(key);
    this.#windows.delete(key);
    if (window !== undefined && window.repeats > 0)
      this.#report(window.last, window.repeats, windowMs / 1000);
  }
}
