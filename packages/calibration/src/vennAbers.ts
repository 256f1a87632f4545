import { Tensor, asFloat32, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { BinaryMap, PIECE, checkedBinary, firstAtLeast, knotsOf } from "./binaryCalibrator.ts";
import { groupedSteps } from "./groupedScores.ts";

const FORMAT = "logits/venn-abers";

/** What `VennAbers` writes as JSON. */
export interface VennAbersJSON {
  readonly format: "logits/venn-abers";
  readonly version: 1;
  readonly n: number;
  readonly lowerKnots: TensorJSON;
  readonly lowerValues: TensorJSON;
  readonly upperKnots: TensorJSON;
  readonly upperValues: TensorJSON;
}

/** A step function: `values[i]` between knot i - 1 and knot i. */
interface StepFunction {
  readonly knots: Tensor<"float32">;
  readonly values: Tensor<"float32">;
}

/**
 * Two isotonic regressions, one with the new score added as a no, one as a yes: [lower, upper] holds a perfectly calibrated probability, whatever the distribution, as long as the rows of the
 * fit and the new one are exchangeable. `probabilities` is the one number with the smallest worst-case log loss, upper / (1 - lower + upper): never 0 or 1.
 *
 * The inductive form: the rows of the fit must not have trained the model. The width of the interval says how much the answer rests on few rows.
 *
 * Source: Vovk and Petej, "Venn-Abers predictors", UAI 2014; Vovk, Petej, Fedorova, "Large-scale probabilistic predictors with and without guarantees of validity", NIPS 2015, algorithms 1 to 4.
 */
export class VennAbers extends BinaryMap {
  /** Lower ends: lowerValues[i] for scores in [lowerKnots[i - 1], lowerKnots[i]). */
  readonly lowerKnots: Tensor<"float32">;
  readonly lowerValues: Tensor<"float32">;
  /** Upper ends: upperValues[i] for scores in (upperKnots[i - 1], upperKnots[i]]. */
  readonly upperKnots: Tensor<"float32">;
  readonly upperValues: Tensor<"float32">;

  private constructor(n: number, lower: StepFunction, upper: StepFunction) {
    super(n);
    this.lowerKnots = lower.knots;
    this.lowerValues = lower.values;
    this.upperKnots = upper.knots;
    this.upperValues = upper.values;
    Object.freeze(this);
  }

  protected get name(): string {
    return "VennAbers";
  }

  /**
   * Prepares both regressions for every possible new score, on rows that no later step uses.
   *
   * @param scores - float32 [N], N at least 1, finite; any score where more means yes
   * @param labels - mask [N]: 1 or true = yes
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named)
   * @example
   *   VennAbers.fit([1, 2, 3], [0, 1, 1]).intervals([2]); // lower 1/2, upper 1
   */
  static fit(scores: TensorLike, labels: TensorLike): VennAbers {
    return runSteps(VennAbers.fitSteps("VennAbers.fit", scores, labels));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: LongWorkOptions = {}): Promise<VennAbers> {
    return runStepsAsync(VennAbers.fitSteps("VennAbers.fitAsync", scores, labels), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike): Steps<VennAbers> {
    const pairs = checkedBinary(where, scores, labels), { x, count, ones } = yield* groupedSteps(pairs);
    const k = x.length;
    // A score between two of the fit pools as if it stood on the next one (as a yes) or on the one before (as a no).
    const up = Float32Array.from(yield* valuesWithYes(count, ones)), upperKnots: number[] = [], upperValues: number[] = [];
    for (let i = 0; i < k; i++) {
      if (up[i] === (i + 1 < k ? up[i + 1] : 1)) continue;
      upperKnots.push(x[i]);
      upperValues.push(up[i]);
    }
    upperValues.push(1);
    const mirrored = yield* valuesWithYes(count.slice().reverse(), count.map((rows, i) => rows - ones[i]).reverse());
    const down = Float32Array.from(mirrored.reverse(), (value) => 1 - value), lowerKnots: number[] = [], lowerValues: number[] = [0];
    for (let i = 0; i < k; i++) {
      if (down[i] === lowerValues[lowerValues.length - 1]) continue;
      lowerKnots.push(x[i]);
      lowerValues.push(down[i]);
    }
    const tensor = (values: readonly number[]): Tensor<"float32"> => new Tensor("float32", [values.length], Float32Array.from(values));
    return new VennAbers(pairs.n, { knots: tensor(lowerKnots), values: tensor(lowerValues) }, { knots: tensor(upperKnots), values: tensor(upperValues) });
  }

  #lower(score: number): number {
    const knots = this.lowerKnots.data, i = firstAtLeast(knots, score);
    return this.lowerValues.data[i < knots.length && knots[i] === score ? i + 1 : i];
  }

  #upper(score: number): number {
    return this.upperValues.data[firstAtLeast(this.upperKnots.data, score)];
  }

  at(score: number): number {
    const { lower, upper } = this.intervalAt(score);
    return upper / (1 - lower + upper);
  }

  /** Both probabilities at one score; NaN for NaN. */
  intervalAt(score: number): { readonly lower: number; readonly upper: number } {
    return score !== score ? { lower: NaN, upper: NaN } : { lower: this.#lower(score), upper: this.#upper(score) };
  }

  /**
   * Both probabilities of yes.
   *
   * @param scores - float32 of any shape; NaN gives NaN
   * @returns float32 of the same shape, lower < upper
   */
  intervals(scores: TensorLike): { lower: Tensor<"float32">; upper: Tensor<"float32"> } {
    const { data, shape } = asFloat32("VennAbers.intervals", "scores", scores);
    return { lower: new Tensor("float32", shape, data.map((s) => (s !== s ? NaN : this.#lower(s)))), upper: new Tensor("float32", shape, data.map((s) => (s !== s ? NaN : this.#upper(s)))) };
  }

  toJSON(): VennAbersJSON {
    const { n, lowerKnots, lowerValues, upperKnots, upperValues } = this;
    return { format: FORMAT, version: 1, n, lowerKnots: tensorToJSON(lowerKnots), lowerValues: tensorToJSON(lowerValues), upperKnots: tensorToJSON(upperKnots), upperValues: tensorToJSON(upperValues) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): VennAbers {
    const fields = readJson("VennAbers.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const read = (name: "lower" | "upper"): StepFunction => {
      const [knots, values] = knotsOf(fields, `${name}Knots`, `${name}Values`, 1);
      return { knots, values };
    };
    return new VennAbers(fields.integer("n", 1, Number.MAX_SAFE_INTEGER), read("lower"), read("upper"));
  }
}

/**
 * For each distinct score i: the isotonic value there when one more row with yes stands on it.
 *
 * The cumulative sums of count and ones are points; the value is the slope of their lower convex hull. The additional step (1, 1) first stands before all others and moves one place to the
 * right each time, which moves one point: the hull from there on changes at its left end only. Sums are integers, so every comparison is exact.
 */
function* valuesWithYes(count: Int32Array, ones: Int32Array): Steps<Float64Array> {
  const k = count.length;
  // Point j of the definition is at index j + 1; index 0 is (-1, -1).
  const px = new Float64Array(k + 2), py = new Float64Array(k + 2);
  px[0] = py[0] = -1;
  for (let i = 0; i < k; i++) {
    px[i + 2] = px[i + 1] + count[i];
    py[i + 2] = py[i + 1] + ones[i];
  }
  // The hull with its left end on top of the stack; built from the right.
  const hx = new Float64Array(k + 2), hy = new Float64Array(k + 2);
  let top = -1;
  const push = (x: number, y: number): void => {
    while (top > 0 && (hy[top] - y) * (hx[top - 1] - hx[top]) >= (hy[top - 1] - hy[top]) * (hx[top] - x)) top--;
    hx[++top] = x;
    hy[top] = y;
  };
  for (let j = k + 1; j >= 0; j--) {
    push(px[j], py[j]);
    if (j % (8 * PIECE) === 0) yield 0.85;
  }
  const values = new Float64Array(k);
  for (let i = 0; i < k; i++) {
    values[i] = (hy[top - 1] - hy[top]) / (hx[top - 1] - hx[top]);
    const x = px[i] + px[i + 2] - px[i + 1], y = py[i] + py[i + 2] - py[i + 1];
    px[i + 1] = x;
    py[i + 1] = y;
    if ((y - hy[top]) * (hx[top - 1] - hx[top]) < (hy[top - 1] - hy[top]) * (x - hx[top])) {
      top--;
      push(x, y);
    }
    if (i % (8 * PIECE) === 8 * PIECE - 1) yield 0.9;
  }
  return values;
}
