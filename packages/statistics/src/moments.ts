import { type TensorLike, typeError, describe } from "@logits/tensor";
import type { Accumulator } from "./accumulator.ts";
import { ByteReader, ByteWriter } from "./binary.ts";
import { asFinite } from "./values.ts";

/** Result of `Moments`. */
export interface MomentsResult {
  /** Number of values. */
  readonly count: number;
  /** Arithmetic mean; NaN for no values. */
  readonly mean: number;
  /** Sum of squared deviations over count - 1; NaN for fewer than two values. */
  readonly variance: number;
  /** Smallest value; +Infinity for none. */
  readonly minimum: number;
  /** Largest value; -Infinity for none. */
  readonly maximum: number;
}

/**
 * Count, mean, variance and range of a stream of numbers, mergeable.
 *
 *   M2 = M2a + M2b + (mean_b - mean_a)^2 n_a n_b / (n_a + n_b)
 *
 * @example new Moments().update([1, 2, 3]).finish().variance // 1
 * Source: Welford, Technometrics 4 (1962); Chan, Golub, LeVeque, The American Statistician 37 (1983).
 */
export class Moments implements Accumulator<TensorLike, MomentsResult> {
  #count = 0;
  #mean = 0;
  #squares = 0;
  #minimum: number = Infinity;
  #maximum: number = -Infinity;

  /**
   * @param batch - finite numbers of any shape, any TensorLike, float64 kept
   * @throws RangeError if a value is not finite, with its index
   */
  update(batch: TensorLike): this {
    const values = asFinite("Moments.update", "batch", batch);
    for (let i = 0; i < values.length; i++) {
      const value = values[i], difference = value - this.#mean;
      this.#count++;
      this.#mean += difference / this.#count;
      this.#squares += difference * (value - this.#mean);
      if (value < this.#minimum) this.#minimum = value;
      if (value > this.#maximum) this.#maximum = value;
    }
    return this;
  }

  merge(other: this): this {
    if (!(other instanceof Moments)) throw typeError("Moments.merge", "other", "a Moments", describe(other));
    const count = this.#count + other.#count;
    if (other.#count === 0) return this;
    const difference = other.#mean - this.#mean;
    this.#squares += other.#squares + difference * difference * ((this.#count / count) * other.#count);
    this.#mean = this.#count === 0 ? other.#mean : this.#mean + difference * (other.#count / count);
    this.#count = count;
    this.#minimum = Math.min(this.#minimum, other.#minimum);
    this.#maximum = Math.max(this.#maximum, other.#maximum);
    return this;
  }

  toBytes(): Uint8Array {
    return new ByteWriter("statistics.Moments", 1).float64(this.#count).float64(this.#mean).float64(this.#squares).float64(this.#minimum).float64(this.#maximum).bytes();
  }

  /** @throws FormatError if the bytes are not those of a `Moments` */
  static fromBytes(bytes: Uint8Array): Moments {
    const reader = new ByteReader("Moments.fromBytes", bytes, "statistics.Moments", 1);
    const out = new Moments();
    out.#count = reader.float64("count");
    out.#mean = reader.float64("mean");
    out.#squares = reader.float64("squares");
    out.#minimum = reader.float64("minimum", "any");
    out.#maximum = reader.float64("maximum", "any");
    reader.end();
    if (!(Number.isSafeInteger(out.#count) && out.#count >= 0)) throw reader.error("with an integer `count` >= 0", `${out.#count}`);
    if (!(out.#squares >= 0)) throw reader.error("with `squares` >= 0", `${out.#squares}`);
    const ordered = out.#count === 0 ? out.#minimum === Infinity && out.#maximum === -Infinity : out.#minimum - out.#minimum === 0 && out.#maximum - out.#maximum === 0 && out.#minimum <= out.#maximum;
    if (!ordered) throw reader.error("with `minimum` <= `maximum`", `${out.#minimum} and ${out.#maximum}`);
    return out;
  }

  finish(): MomentsResult {
    const count = this.#count;
    return { count, mean: count > 0 ? this.#mean : NaN, variance: count > 1 ? this.#squares / (count - 1) : NaN, minimum: this.#minimum, maximum: this.#maximum };
  }
}
