import { ByteReader, ByteWriter, type Accumulator } from "@logits/statistics";
import { asFloat32, checkShape, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";
import { checkedBinary, firstAtLeast } from "./binaryCalibrator.ts";
import { HistogramBinning } from "./binning.ts";

const FORMAT = "calibration.HistogramBinning";

/** Rows of a yes-or-no question. */
export interface BinaryBatch {
  /** float32 [N], finite. */
  readonly scores: TensorLike;
  /** mask [N]: 1 or true = yes. */
  readonly labels: TensorLike;
}

/** Options of `HistogramBinningAccumulator`. */
export interface HistogramBinningAccumulatorOptions {
  /** Upper edges of all bins but the last, float32 [bins - 1], finite, strictly increasing: those of a fit on a sample (`HistogramBinning.fit(...).edges`), or chosen before. */
  readonly edges: TensorLike;
}

/**
 * `HistogramBinning` on fixed edges over streams, workers and machines: rows and rows with yes in each bin (lower, upper]. Counts are integers: exact, in any order.
 *
 * @example
 *   new HistogramBinningAccumulator({ edges: [0] }).update({ scores: [-1, 1, 2], labels: [0, 1, 0] }).finish().at(5); // 0.5
 * Source: as `HistogramBinning`.
 */
export class HistogramBinningAccumulator implements Accumulator<BinaryBatch, HistogramBinning> {
  readonly #edges: Float32Array;
  readonly #rows: Float64Array;
  readonly #ones: Float64Array;

  /** @throws RangeError for edges that are not finite and strictly increasing */
  constructor({ edges }: HistogramBinningAccumulatorOptions) {
    const where = "HistogramBinningAccumulator", e = asFloat32(where, "edges", edges);
    checkShape(where, "edges", e, ["B"]);
    for (let b = 0; b < e.size; b++) if (!(e.data[b] - e.data[b] === 0 && (b === 0 || e.data[b] > e.data[b - 1]))) throw rangeError(where, "edges", "of finite, strictly increasing numbers", `${e.data[b]} at index ${b}`);
    this.#edges = e.data.slice();
    this.#rows = new Float64Array(e.size + 1);
    this.#ones = new Float64Array(e.size + 1);
  }

  /** @throws RangeError for no rows, another shape, a score that is not finite (the row is named) */
  update({ scores, labels }: BinaryBatch): this {
    const { s, t, n } = checkedBinary("HistogramBinningAccumulator.update", scores, labels);
    for (let i = 0; i < n; i++) {
      const b = firstAtLeast(this.#edges, s[i]);
      this.#rows[b]++;
      this.#ones[b] += t[i];
    }
    return this;
  }

  merge(other: this): this {
    const where = "HistogramBinningAccumulator.merge";
    if (!(other instanceof HistogramBinningAccumulator)) throw typeError(where, "other", "a HistogramBinningAccumulator", describe(other));
    if (other.#edges.length !== this.#edges.length || other.#edges.some((edge, b) => edge !== this.#edges[b])) throw rangeError(where, "other", `with edges ${this.#edges.join(", ") || "none"}`, other.#edges.join(", ") || "none");
    for (let b = 0; b < this.#rows.length; b++) {
      this.#rows[b] += other.#rows[b];
      this.#ones[b] += other.#ones[b];
    }
    return this;
  }

  toBytes(): Uint8Array {
    return new ByteWriter(FORMAT, 1).float64Array(Float64Array.from(this.#edges)).float64Array(this.#rows).float64Array(this.#ones).bytes();
  }

  /** @throws FormatError if the bytes are not those of a `HistogramBinningAccumulator` */
  static fromBytes(bytes: Uint8Array): HistogramBinningAccumulator {
    const reader = new ByteReader("HistogramBinningAccumulator.fromBytes", bytes, FORMAT, 1), edges = reader.float64Array("edges"), bins = edges.length + 1;
    const rows = reader.float64Array("rows", bins), ones = reader.float64Array("ones", bins);
    reader.end();
    const wrong = edges.findIndex((edge, b) => Math.fround(edge) !== edge || (b > 0 && !(edge > edges[b - 1])));
    if (wrong >= 0) throw reader.error("with float32 `edges` that rise", `${edges[wrong]} at index ${wrong}`);
    const bad = rows.findIndex((count, b) => !(Number.isSafeInteger(count) && Number.isSafeInteger(ones[b]) && ones[b] >= 0 && ones[b] <= count));
    if (bad >= 0) throw reader.error("with integers 0 <= `ones` <= `rows`", `${ones[bad]} and ${rows[bad]} at index ${bad}`);
    const out = new HistogramBinningAccumulator({ edges: Float32Array.from(edges) });
    out.#rows.set(rows);
    out.#ones.set(ones);
    return out;
  }

  /** The shares so far; a bin without a row joins the next one, the last the one before. RangeError where no row was seen. */
  finish(): HistogramBinning {
    if (this.#rows.every((count) => count === 0)) throw rangeError("HistogramBinningAccumulator.finish", "this", "with at least one row", "none");
    return HistogramBinning.fromCounts(this.#edges, this.#rows, this.#ones);
  }
}
