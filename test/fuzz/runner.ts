/** Runs one fuzz target for a number of iterations or for a time. */
import type { FuzzTarget } from './fuzz-target.ts';
import { SeededRandom } from './random.ts';

export interface FuzzFailure {
  readonly target: string;
  readonly seed: number;
  readonly iteration: number;
  readonly input: Uint8Array;
  readonly error: unknown;
}

export interface FuzzResult {
  readonly executions: number;
  readonly milliseconds: number;
  readonly failure: FuzzFailure | undefined;
}

export interface FuzzLimits {
  readonly seed: number;
  /** Where to begin: iteration n of a seed is always the same input. */
  readonly firstIteration?: number;
  readonly iterations?: number;
  readonly milliseconds?: number;
  /** Sees every input before it is run. */
  readonly onInput?: (iteration: number, input: Uint8Array) => void;
}

/** How often the clock and the heap are looked at, in iterations. */
const lookInterval = 256;
/** No input is worth more than this: memory that grows with the peer's will. */
const maximumHeapBytes = 2 ** 30;

/** Ends at the first failure. */
export async function fuzz(target: FuzzTarget, limits: FuzzLimits): Promise<FuzzResult> {
  const { seed, iterations = Infinity, milliseconds = Infinity, onInput } = limits;
  const first = limits.firstIteration ?? 0;
  const start = performance.now();
  const elapsed = (): number => performance.now() - start;
  let done = 0;
  for (; done < iterations; done++) {
    const iteration = first + done;
    if (done % lookInterval === 0 && elapsed() >= milliseconds) break;
    const input = inputOf(target, seed, iteration);
    onInput?.(iteration, input);
    try {
      const running = target.run(input);
      if (running !== undefined) await running;
      if (done % lookInterval === 0) checkHeap();
    } catch (error) {
      const failure = { target: target.name, seed, iteration, input, error };
      return { executions: done + 1, milliseconds: elapsed(), failure };
    }
  }
  return { executions: done, milliseconds: elapsed(), failure: undefined };
}

/** The input of an iteration. */
export function inputOf(target: FuzzTarget, seed: number, iteration: number): Uint8Array {
  return target.generate(new SeededRandom(seed, iteration));
}

function checkHeap(): void {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  if (heapUsed + arrayBuffers > maximumHeapBytes) {
    throw new Error(`the heap has grown to ${heapUsed + arrayBuffers} bytes`);
  }
}
