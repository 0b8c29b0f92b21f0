/** The first reason to end wins, and its exit code. */
export class Ending {
  exitCode = 0;
  hasBegun = false;
  /** The end of this program, not of the service. */
  restarts = false;
  readonly reached: Promise<string>;
  readonly #reach: (reason: string) => void;

  constructor() {
    const { promise, resolve } = promiseWithResolver<string>();
    this.reached = promise;
    this.#reach = resolve;
  }

  end(exitCode: number, reason: string): void {
    if (this.hasBegun) return;
    this.hasBegun = true;
    this.exitCode = exitCode;
    this.#reach(reason);
  }

  restart(reason: string): void {
    if (!this.hasBegun) this.restarts = true;
    this.end(0, reason);
  }

  onSignals(signals: readonly NodeJS.Signals[]): () => void {
    const listener = (signal: NodeJS.Signals): void => {
      this.end(0, signal);
    };
    for (const signal of signals) process.on(signal, listener);
    return () => {
      for (const signal of signals) process.off(signal, listener);
    };
  }
}

function promiseWithResolver<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
