/** Latencies as counts by size: recording one allocates nothing, and quantiles are exact to 2 %. */

/** Steps of each power of two. */
const stepBits = 6;
const steps = 1 << stepBits;
/** 2^40 us are twelve days. */
const powers = 40;

export class LatencyHistogram {
  readonly #counts = new Float64Array((powers - stepBits + 1) * steps);
  #count = 0;
  #sum = 0;
  #largest = 0;

  get count(): number {
    return this.#count;
  }

  /** Microseconds; exact. */
  get largest(): number {
    return this.#largest;
  }

  /** Microseconds; exact. 0 when nothing was recorded. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  record(microseconds: number): void {
    this.#counts[indexOf(microseconds)]++;
    this.#count++;
    this.#sum += microseconds;
    if (microseconds > this.#largest) this.#largest = microseconds;
  }

  /** Microseconds that `share` (0 to 1) of what was recorded is not above; 0 when nothing was. */
  quantile(share: number): number {
    const wanted = Math.max(1, Math.ceil(share * this.#count));
    let seen = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      seen += this.#counts[index];
      if (seen >= wanted) return Math.min(valueAt(index), this.#largest);
    }
    return this.#largest;
  }
}

/** The first `steps` values have a place each; then every power of two has `steps` places. */
function indexOf(microseconds: number): number {
  const value = Math.min(Math.floor(microseconds), 2 ** powers - 1);
  if (value < steps) return value;
  const power = Math.floor(Math.log2(value)) - stepBits;
  return (power + 1) * steps + Math.floor(value / 2 ** power) - steps;
}

/** The middle of what has this place. */
function valueAt(index: number): number {
  if (index < steps) return index;
  const power = Math.floor(index / steps) - 1;
  return ((index % steps) + steps + 0.5) * 2 ** power;
}
