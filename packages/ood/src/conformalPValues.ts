import { Tensor, asFloat32, checkShape, rangeError, readJson, tensorToJSON, type TensorJSON, type TensorLike } from "@logits/tensor";

const FORMAT = "logits/conformal-p-values";

/** What `ConformalPValues` writes as JSON. */
export interface ConformalPValuesJSON {
  readonly format: "logits/conformal-p-values";
  readonly version: 1;
  readonly n: number;
  /** How many scores are -Infinity and +Infinity; they are not among `scores`. */
  readonly negativeInfinities: number;
  readonly positiveInfinities: number;
  /** float32, finite, ascending. */
  readonly scores: TensorJSON;
}

/**
 * P-values of out-of-distribution scores against n in-distribution rows: how unusual a score would be for a row like them.
 *
 *   p(s) = (1 + number of calibration scores >= s) / (n + 1)
 *
 * For a new row exchangeable with the calibration rows P(p <= a) <= a for every a; ties make it smaller. Scores are rounded to float32 at the fit and after it alike,
 * which leaves that as it is. The promise rests on the calibration rows alone: they must not have trained the model or served a detector or any choice. It is an
 * average over calibrations; p-values of several rows share the calibration rows and are positively dependent, which `benjaminiHochberg` allows.
 *
 * Sources: Vovk, Gammerman, Shafer, Algorithmic Learning in a Random World (2005); Bates, Candes, Lei, Romano, Sesia, "Testing for outliers with conformal p-values",
 * Annals of Statistics 51 (2023). The Python package `nonconform` has them with false-discovery control.
 */
export class ConformalPValues {
  /** Calibration rows. */
  readonly n: number;
  readonly #scores: Float32Array;

  private constructor(scores: Float32Array) {
    this.n = scores.length;
    this.#scores = scores;
    Object.freeze(this);
  }

  /**
   * Keeps the scores of in-distribution rows that no other step has used.
   *
   * @param scores - float32 [n], higher = more out-of-distribution; infinities are ordinary scores. n = 0: every p-value is 1
   * @throws RangeError for another shape or a NaN (its row is named)
   * @example
   *   ConformalPValues.fit([1, 2, 3, 4]).pValue(3.5); // 0.4
   */
  static fit(scores: TensorLike): ConformalPValues {
    return new ConformalPValues(float32Scores("ConformalPValues.fit", scores).slice().sort());
  }

  /**
   * P-values of a batch, O(log n) each.
   *
   * @param scores - float32 [N]
   * @returns float64 [N], in [1 / (n + 1), 1]
   * @throws RangeError for another shape or a NaN (its row is named)
   */
  pValues(scores: TensorLike): Float64Array {
    return Float64Array.from(float32Scores("ConformalPValues.pValues", scores), (score) => this.#pValue(score));
  }

  /** The p-value of one score. RangeError for NaN. */
  pValue(score: number): number {
    if (typeof score !== "number" || score !== score) throw rangeError("ConformalPValues.pValue", "score", "a number", `${score}`);
    return this.#pValue(Math.fround(score));
  }

  toJSON(): ConformalPValuesJSON {
    const { n } = this, scores = this.#scores;
    const low = firstAtLeast(scores, -3.4028234663852886e38), high = firstAtLeast(scores, Infinity);
    return { format: FORMAT, version: 1, n, negativeInfinities: low, positiveInfinities: n - high, scores: tensorToJSON(new Tensor("float32", [high - low], scores.subarray(low, high))) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): ConformalPValues {
    const fields = readJson("ConformalPValues.fromJSON", json, FORMAT, 1, "@logits/ood");
    const n = fields.integer("n", 0, 2147483647), low = fields.integer("negativeInfinities", 0, n), high = fields.integer("positiveInfinities", 0, n);
    const finite = fields.tensor("scores", "float32", 1).data;
    if (low + finite.length + high !== n) fields.fail("scores", `${n - low - high} numbers`, `${finite.length}`);
    for (let i = 1; i < finite.length; i++) if (finite[i] < finite[i - 1]) fields.fail("scores", "ascending", `${finite[i]} after ${finite[i - 1]} at index ${i}`);
    const scores = new Float32Array(n).fill(-Infinity, 0, low).fill(Infinity, n - high);
    scores.set(finite, low);
    return new ConformalPValues(scores);
  }

  #pValue(score: number): number {
    return (1 + this.n - firstAtLeast(this.#scores, score)) / (this.n + 1);
  }
}

function float32Scores(where: string, x: TensorLike): Float32Array {
  const scores = asFloat32(where, "scores", x);
  checkShape(where, "scores", scores, ["N"]);
  const { data } = scores;
  for (let i = 0; i < data.length; i++) if (data[i] !== data[i]) throw rangeError(where, "scores", "without NaN", `NaN in row ${i}`);
  return data;
}

/** The first index of ascending numbers with x[i] >= value; their length if there is none. */
function firstAtLeast(x: Float32Array, value: number): number {
  let low = 0, high = x.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (x[middle] >= value) high = middle;
    else low = middle + 1;
  }
  return low;
}
