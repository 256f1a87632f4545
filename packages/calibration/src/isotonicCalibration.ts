import { poolSteps } from "@logits/core-wasm/order";
import { Tensor, partOf, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { BinaryMap, checkedBinary, firstAtLeast, knotsOf } from "./binaryCalibrator.ts";

const FORMAT = "logits/isotonic-calibration";

/** Options of `IsotonicCalibration`. */
export interface IsotonicCalibrationOptions {
  /** true: every block of equal values becomes one point at its mean score, so that scores between two points stay distinct. Default false. */
  readonly centred?: boolean;
}

/** What `IsotonicCalibration` writes as JSON. */
export interface IsotonicCalibrationJSON {
  readonly format: "logits/isotonic-calibration";
  readonly version: 1;
  readonly n: number;
  readonly centred: boolean;
  readonly knots: TensorJSON;
  readonly values: TensorJSON;
}

/**
 * The non-decreasing function of the score with the smallest squared distance to the answers, by pooling adjacent violators.
 *
 * Rows of equal scores count as one row with their mean. Between two points the function is linear, outside the first and the last constant. Values can be exactly 0 and 1, so that the
 * log loss of other rows can be infinite: `VennAbers` is the same idea without that. Equal values make ties of scores that were different; `centred` avoids most of them.
 *
 * Source: Zadrozny and Elkan, "Transforming classifier scores into accurate multiclass probability estimates", KDD 2002; Oron and Flournoy, "Centered isotonic regression", 2017, for `centred`.
 */
export class IsotonicCalibration extends BinaryMap {
  readonly centred: boolean;
  /** Scores of the points, float32 [K], strictly increasing. */
  readonly knots: Tensor<"float32">;
  /** Probabilities there, float32 [K], non-decreasing. */
  readonly values: Tensor<"float32">;

  private constructor(n: number, centred: boolean, knots: Tensor<"float32">, values: Tensor<"float32">) {
    super(n);
    this.centred = centred;
    this.knots = knots;
    this.values = values;
    Object.freeze(this);
  }

  protected get name(): string {
    return "IsotonicCalibration";
  }

  /**
   * Fits the function on rows that no later step uses.
   *
   * @param scores - float32 [N], N at least 1, finite; any score where more means yes
   * @param labels - mask [N]: 1 or true = yes
   * @param options - `centred` (default false)
   * @returns the fitted function; one row, or answers of one kind: a constant
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named)
   * @example
   *   IsotonicCalibration.fit([1, 2, 3, 4], [0, 1, 0, 1]).probabilities([0, 2.5, 3.5]); // 0, 0.5, 0.75
   */
  static fit(scores: TensorLike, labels: TensorLike, options: IsotonicCalibrationOptions = {}): IsotonicCalibration {
    return runSteps(IsotonicCalibration.fitSteps("IsotonicCalibration.fit", scores, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: IsotonicCalibrationOptions & LongWorkOptions = {}): Promise<IsotonicCalibration> {
    return runStepsAsync(IsotonicCalibration.fitSteps("IsotonicCalibration.fitAsync", scores, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike, options: IsotonicCalibrationOptions = {}): Steps<IsotonicCalibration> {
    const { centred = false } = options;
    const pairs = checkedBinary(where, scores, labels), knots: number[] = [], values: number[] = [];
    yield* partOf(poolSteps(pairs.s, pairs.t, ({ first: starts, rows: counts, sums }, { values: x, counts: count }) => {
      for (let b = 0; b < starts.length; b++) {
        const first = starts[b], end = b + 1 < starts.length ? starts[b + 1] : x.length, rows = counts[b], value = sums[b] / rows;
        if (centred) {
          let mean = 0;
          for (let i = first; i < end; i++) mean += (count[i] / rows) * x[i];
          // Rounding can put a mean on its neighbour's; the blocks keep their order.
          const knot = Math.min(x[end - 1], Math.max(x[first], Math.fround(mean)));
          knots.push(knot);
          values.push(value);
        } else {
          knots.push(x[first]);
          values.push(value);
          if (end - 1 > first) {
            knots.push(x[end - 1]);
            values.push(value);
          }
        }
      }
    }), 0, 0.99);
    return new IsotonicCalibration(pairs.n, centred, new Tensor("float32", [knots.length], Float32Array.from(knots)), new Tensor("float32", [values.length], Float32Array.from(values)));
  }

  at(score: number): number {
    const x = this.knots.data, y = this.values.data, last = x.length - 1;
    if (score !== score) return NaN;
    const i = firstAtLeast(x, score);
    if (i === 0 || i > last || x[i] === score) return y[Math.min(i, last)];
    return y[i - 1] + ((score - x[i - 1]) / (x[i] - x[i - 1])) * (y[i] - y[i - 1]);
  }

  toJSON(): IsotonicCalibrationJSON {
    return { format: FORMAT, version: 1, n: this.n, centred: this.centred, knots: tensorToJSON(this.knots), values: tensorToJSON(this.values) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): IsotonicCalibration {
    const fields = readJson("IsotonicCalibration.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const [knots, values] = knotsOf(fields, "knots", "values");
    return new IsotonicCalibration(fields.integer("n", 1, Number.MAX_SAFE_INTEGER), fields.boolean("centred"), knots, values);
  }
}
