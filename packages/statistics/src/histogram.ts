import { type TensorLike, checkInteger, describe, rangeError, typeError } from "@logits/tensor";
import type { Accumulator } from "./accumulator.ts";
import { ByteReader, ByteWriter } from "./binary.ts";
import { asOrderable } from "./values.ts";

/** Settings of a `Histogram`: equal bins of [low, high). */
export interface HistogramOptions {
  low: number;
  high: number;
  /** Number of bins, integer in [1, 2^24]. */
  bins: number;
}

/** Result of `Histogram`. */
export interface HistogramResult {
  /** Counts, length `bins`: bin i holds [low + i w, low + (i + 1) w), the last one `high` as well; w = (high - low) / bins. */
  readonly counts: Float64Array;
  /** Edges, length `bins + 1`. */
  readonly edges: Float64Array;
  /** Number of values < low. */
  readonly below: number;
  /** Number of values > high. */
  readonly above: number;
}

/**
 * Counts of a stream of numbers in equal bins, mergeable; exact up to 2^53 values, in any order.
 *
 * @example new Histogram({ low: 0, high: 1, bins: 2 }).update([0.1, 0.5, 1]).finish().counts // Float64Array [1, 2]
 * Source: folklore.
 */
export class Histogram implements Accumulator<TensorLike, HistogramResult> {
  readonly low: number;
  readonly high: number;
  readonly bins: number;
  readonly #counts: Float64Array;
  #below = 0;
  #above = 0;

  /** @throws RangeError if low < high does not hold for finite numbers, or `bins` is outside [1, 2^24] */
  constructor(options: HistogramOptions) {
    const { low, high, bins } = options;
    if (!(low < high && high - low < Infinity)) throw rangeError("Histogram", "options", "with finite low < high", `low ${low}, high ${high}`);
    checkInteger("Histogram", "bins", bins, 1, 16777216);
    this.low = low;
    this.high = high;
    this.bins = bins;
    this.#counts = new Float64Array(bins);
  }

  /**
   * @param batch - numbers of any shape, any TensorLike, float64 kept; infinities are counted below and above
   * @throws RangeError if a value is NaN, with its index
   */
  update(batch: TensorLike): this {
    const values = asOrderable("Histogram.update", "batch", batch);
    const { low, high, bins } = this;
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (value < low) this.#below++;
      else if (value > high) this.#above++;
      else this.#counts[this.#bin(value, bins)]++;
    }
    return this;
  }

  /** The bin by its edges: the quotient is only a guess, one rounding away at an edge. */
  #bin(value: number, bins: number): number {
    let bin = Math.min(bins - 1, Math.floor(((value - this.low) / (this.high - this.low)) * bins));
    if (value < this.#edge(bin)) bin--;
    else if (bin < bins - 1 && value >= this.#edge(bin + 1)) bin++;
    return bin;
  }

  #edge(i: number): number {
    return i === this.bins ? this.high : this.low + (this.high - this.low) * (i / this.bins);
  }

  merge(other: this): this {
    if (!(other instanceof Histogram)) throw typeError("Histogram.merge", "other", "a Histogram", describe(other));
    if (other.low !== this.low || other.high !== this.high || other.bins !== this.bins) {
      throw rangeError("Histogram.merge", "other", `with ${this.bins} bins of [${this.low}, ${this.high})`, `${other.bins} bins of [${other.low}, ${other.high})`);
    }
    for (let i = 0; i < this.bins; i++) this.#counts[i] += other.#counts[i];
    this.#below += other.#below;
    this.#above += other.#above;
    return this;
  }

  toBytes(): Uint8Array {
    return new ByteWriter("statistics.Histogram", 1).float64(this.low).float64(this.high).float64(this.#below).float64(this.#above).float64Array(this.#counts).bytes();
  }

  /** @throws FormatError if the bytes are not those of a `Histogram` */
  static fromBytes(bytes: Uint8Array): Histogram {
    const reader = new ByteReader("Histogram.fromBytes", bytes, "statistics.Histogram", 1);
    const low = reader.float64("low"), high = reader.float64("high"), below = reader.float64("below"), above = reader.float64("above");
    const counts = reader.float64Array("counts");
    reader.end();
    if (!(low < high && high - low < Infinity && counts.length >= 1 && counts.length <= 16777216)) throw reader.error("with low < high and 1 to 2^24 counts", `low ${low}, high ${high}, ${counts.length} counts`);
    const bad = [below, above, ...counts].find((count) => !(Number.isSafeInteger(count) && count >= 0));
    if (bad !== undefined) throw reader.error("with integer counts >= 0", `${bad}`);
    const out = new Histogram({ low, high, bins: counts.length });
    out.#counts.set(counts);
    out.#below = below;
    out.#above = above;
    return out;
  }

  finish(): HistogramResult {
    return { counts: this.#counts.slice(), edges: Float64Array.from({ length: this.bins + 1 }, (_, i) => this.#edge(i)), below: this.#below, above: this.#above };
  }
}
