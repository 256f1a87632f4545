import { softmax } from "@logits/core-wasm";
import { ByteReader, ByteWriter, type Accumulator } from "@logits/statistics";
import { checkInteger, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";
import { checkedLogits, checkedRows, unusableRow } from "./calibrator.ts";
import { PriorCorrection } from "./priorCorrection.ts";

const FORMAT = "calibration.PriorCorrection";

/**
 * `PriorCorrection.fitPrompt` over streams, workers and machines: the sum of the probabilities of each class. The maximum-likelihood prior of `PriorCorrection.fit` is no sum of the rows and has none.
 *
 * @example
 *   new PriorCorrectionAccumulator({ classes: 2 }).update([[1, 0]]).finish().probabilities([1, 0]); // 0.5, 0.5
 * Source: as `PriorCorrection.fitPrompt`.
 */
export class PriorCorrectionAccumulator implements Accumulator<TensorLike, PriorCorrection> {
  /** C. */
  readonly classes: number;
  readonly #sums: Float64Array;
  #n = 0;

  /** @throws RangeError for `classes` that is no integer in [1, 2^31) */
  constructor({ classes }: { readonly classes: number }) {
    checkInteger("PriorCorrectionAccumulator", "classes", classes, 1, 2147483647);
    this.classes = classes;
    this.#sums = new Float64Array(classes);
  }

  /**
   * @param logits - float32 [N, C]; -Infinity = impossible class
   * @throws RangeError for no rows, another shape or width, a row with NaN, +Infinity or without a finite score
   */
  update(logits: TensorLike): this {
    const where = "PriorCorrectionAccumulator.update", z = checkedLogits(where, checkedRows(where, logits), this.classes), unusable = unusableRow(where, z);
    if (unusable) throw unusable;
    const p = softmax(z).data;
    for (let i = 0; i < p.length; i++) this.#sums[i % this.classes] += p[i];
    this.#n += z.shape[0];
    return this;
  }

  merge(other: this): this {
    const where = "PriorCorrectionAccumulator.merge";
    if (!(other instanceof PriorCorrectionAccumulator)) throw typeError(where, "other", "a PriorCorrectionAccumulator", describe(other));
    if (other.classes !== this.classes) throw rangeError(where, "other", `of ${this.classes} classes`, `${other.classes}`);
    for (let c = 0; c < this.classes; c++) this.#sums[c] += other.#sums[c];
    this.#n += other.#n;
    return this;
  }

  toBytes(): Uint8Array {
    return new ByteWriter(FORMAT, 1).float64(this.#n).float64Array(this.#sums).bytes();
  }

  /** @throws FormatError if the bytes are not those of a `PriorCorrectionAccumulator` */
  static fromBytes(bytes: Uint8Array): PriorCorrectionAccumulator {
    const reader = new ByteReader("PriorCorrectionAccumulator.fromBytes", bytes, FORMAT, 1), n = reader.float64("n"), sums = reader.float64Array("sums");
    reader.end();
    if (!(Number.isSafeInteger(n) && n >= 0)) throw reader.error("with an integer `n` >= 0", `${n}`);
    const total = sums.reduce((sum, x) => sum + x, 0);
    if (sums.length === 0 || sums.some((sum) => sum < 0) || !(Math.abs(total - n) <= 1e-5 * n)) throw reader.error(`with \`sums\` >= 0 that add up to ${n}`, `${total}`);
    const out = new PriorCorrectionAccumulator({ classes: sums.length });
    out.#sums.set(sums);
    out.#n = n;
    return out;
  }

  /** The correction so far. RangeError where no row was seen. */
  finish(): PriorCorrection {
    if (this.#n === 0) throw rangeError("PriorCorrectionAccumulator.finish", "this", "with at least one row", "none");
    return PriorCorrection.fromSums(this.#n, this.#sums);
  }
}
