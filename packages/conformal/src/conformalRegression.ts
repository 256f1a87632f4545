import { Tensor, asFloat32, asInt32, checkInteger, checkLabels, checkShape, partOf, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { roundDown, roundUp } from "./rounding.ts";
import { ScoreTable, checkGiven, countOf, groupsOf, weightsOf, type ExpectedCoverage, type ScoreTableJSON } from "./scoreTable.ts";

const FORMAT = "logits/conformal-regression";
const METHODS = ["absolute", "normalized", "cqr", "cv+", "jackknife+"] as const;

/**
 * "absolute": prediction +- q. "normalized": prediction +- q scale, for a scale that says how uncertain the model is. "cqr": two predicted quantiles, moved by q.
 * "cv+": predictions of models that each left one fold out. "jackknife+": that with one row to a fold.
 */
export type RegressionMethod = (typeof METHODS)[number];

/** Options of `ConformalRegression.fit`. */
export interface ConformalRegressionOptions {
  /** Default "absolute". */
  readonly method?: RegressionMethod;
  /** "normalized": float32 [n], > 0, the predicted spread of each row. */
  readonly scale?: TensorLike;
  /** "cv+": int32 [n], >= 0, the fold of each row; its prediction comes from the model that did not see that fold. */
  readonly folds?: TensorLike;
  /** Split methods: int32 [n], >= 0: the promise holds in each group of rows. */
  readonly groups?: TensorLike;
  /** Split methods: float32 [n], >= 0: likelihood ratios, as for `SplitConformal`. */
  readonly weights?: TensorLike;
}

/** Options of `ConformalRegression.interval`. */
export interface RegressionIntervalOptions {
  /** Promised miscoverage, in [0, 1]; 0 gives the whole line. Default 0.1. */
  readonly alpha?: number;
  /** "normalized": float32 [N], > 0. */
  readonly scale?: TensorLike;
  /** int32 [N], where the fit had groups. */
  readonly groups?: TensorLike;
  /** float32 [N], >= 0, where the fit had weights. */
  readonly weights?: TensorLike;
}

/** An interval for each row; -Infinity and Infinity where there are too few rows for alpha. */
export interface RegressionIntervals {
  /** float32 [N], rounded down. */
  readonly low: Tensor<"float32">;
  /** float32 [N], rounded up. Below `low` where the interval is empty (cqr with crossing quantiles, cv+ with folds far apart). */
  readonly high: Tensor<"float32">;
  readonly alpha: number;
}

/** What `ConformalRegression` writes as JSON; for "cv+" and "jackknife+" the table holds the residuals in the order of the rows, its groups are the folds. */
export interface ConformalRegressionJSON extends ScoreTableJSON {
  readonly format: "logits/conformal-regression";
  readonly version: 1;
  readonly method: RegressionMethod;
  /** Which of "groups" and "weights" the fit had; only where it had one. */
  readonly conditions?: readonly string[];
  /** int32 [n], "cv+" only. */
  readonly folds?: TensorJSON;
}

/**
 * Intervals that hold the true number with a promised probability, around the predictions of any model.
 *
 *   absolute:   [m - q, m + q],             score |y - m|
 *   normalized: [m - q s, m + q s],         score |y - m| / s
 *   cqr:        [l - q, h + q],             score max(l - y, y - h)
 *   cv+:        [the floor(alpha (n + 1))-th smallest of m_f(i) - r_i, the ceil((1 - alpha)(n + 1))-th smallest of m_f(i) + r_i],   r_i = |y_i - m_f(i)(x_i)|, m_f the model without fold f
 *   jackknife+: cv+ where every row is a fold
 *
 * q = the k-th smallest score of n calibration rows, k = ceil((n + 1)(1 - alpha)). The split methods (the first three) promise at least 1 - alpha, for rows exchangeable with calibration rows that
 * trained no model. cv+ and jackknife+ need no rows of their own and promise at least 1 - 2 alpha (cv+: less by at most sqrt(2 / n)); they cover
 * near 1 - alpha where the models are stable. Scores are rounded up and intervals outwards to float32, so that rounding costs no coverage.
 *
 * absolute first; cqr where a model predicts quantiles: its intervals are as wide as each row needs.
 *
 * Sources: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, JASA 2018 (absolute, normalized); Romano, Patterson, Candes, NeurIPS 2019 (cqr); Barber, Candes, Ramdas, Tibshirani, "Predictive inference
 * with the jackknife+", Annals of Statistics 2021.
 */
export class ConformalRegression {
  readonly method: RegressionMethod;
  /** Calibration rows. */
  readonly n: number;
  /** Models whose predictions `interval` needs: K folds, n for jackknife+, else 1. */
  readonly folds: number;
  readonly #table: ScoreTable | undefined;
  readonly #groups: number | undefined;
  /** cv+: residuals and folds in the order of the rows. */
  readonly #residuals: Float32Array | undefined;
  readonly #foldOf: Int32Array | undefined;

  private constructor(method: RegressionMethod, table: ScoreTable | undefined, residuals: Float32Array | undefined, foldOf: Int32Array | undefined) {
    this.method = method;
    this.n = table?.n ?? residuals!.length;
    this.#table = table;
    this.#groups = table?.groups;
    this.#residuals = residuals;
    this.#foldOf = foldOf;
    this.folds = foldOf ? countOf(foldOf) : residuals ? residuals.length : 1;
    Object.freeze(this);
  }

  /**
   * Scores predictions against known numbers.
   *
   * @param predictions - float32 [n]; "cqr": [n, 2], the lower and upper quantile; "cv+", "jackknife+": [n], each from the model that did not see the row's fold (the row)
   * @param targets - float32 [n]
   * @param options - `method` ("absolute"), `scale`, `folds`, `groups`, `weights`
   * @throws RangeError for no rows, another shape, a number that is not finite (with its index), an option that the method does not have or lacks
   * @example
   *   ConformalRegression.fit([1, 2, 3], [1.5, 1.8, 3.1]).interval([4], { alpha: 0.5 }); // 3.7 to 4.3
   */
  static fit(predictions: TensorLike, targets: TensorLike, options: ConformalRegressionOptions = {}): ConformalRegression {
    return runSteps(ConformalRegression.#steps("ConformalRegression.fit", predictions, targets, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(predictions: TensorLike, targets: TensorLike, options: ConformalRegressionOptions & LongWorkOptions = {}): Promise<ConformalRegression> {
    return runStepsAsync(ConformalRegression.#steps("ConformalRegression.fitAsync", predictions, targets, options), options);
  }

  static *#steps(where: string, predictions: TensorLike, targets: TensorLike, options: ConformalRegressionOptions): Steps<ConformalRegression> {
    const { method = "absolute", scale, folds, groups, weights } = options;
    if (!METHODS.includes(method)) throw rangeError(where, "method", METHODS.map((name) => `"${name}"`).join(" or "), `${method}`);
    const crossed = method === "cv+" || method === "jackknife+";
    if ((method === "normalized") !== (scale !== undefined)) throw rangeError(where, "scale", method === "normalized" ? "float32 [n]" : 'only with "normalized"', scale === undefined ? "none" : `some with "${method}"`);
    if ((method === "cv+") !== (folds !== undefined)) throw rangeError(where, "folds", method === "cv+" ? "int32 [n]" : 'only with "cv+"', folds === undefined ? "none" : `some with "${method}"`);
    if (crossed && groups !== undefined) throw rangeError(where, "groups", "only with a split method", `some with "${method}"`);
    if (crossed && weights !== undefined) throw rangeError(where, "weights", "only with a split method", `some with "${method}"`);
    const y = finite(where, "targets", targets, ["n"]);
    const rows = y.length;
    if (rows === 0) throw rangeError(where, "targets", "with at least one row", "none");
    const m = finite(where, "predictions", predictions, method === "cqr" ? [rows, 2] : [rows]);
    const s = scale === undefined ? undefined : positive(where, scale, rows);
    const scores = new Float32Array(rows);
    for (let i = 0; i < rows; i++) {
      scores[i] = roundUp(method === "cqr" ? Math.max(m[2 * i] - y[i], y[i] - m[2 * i + 1]) : s ? Math.abs(y[i] - m[i]) / s[i] : Math.abs(y[i] - m[i]));
      if (!(Math.abs(scores[i]) < Infinity)) throw rangeError(where, "predictions", "whose scores float32 holds", `${scores[i]} at row ${i}`);
      if (i % 65536 === 65535) yield (0.5 * i) / rows;
    }
    if (crossed) {
      if (folds === undefined) return new ConformalRegression(method, undefined, scores, undefined);
      const f = asInt32(where, "folds", folds);
      checkShape(where, "folds", f, [rows]);
      checkLabels(where, "folds", f, rows);
      if (countOf(f.data) < 2) throw rangeError(where, "folds", "with at least 2 folds", "1");
      return new ConformalRegression(method, undefined, scores, f.data.slice());
    }
    const of = groups === undefined ? undefined : groupsOf(where, groups, rows, 16777216);
    const table = ScoreTable.fromSteps(scores, of && { of, count: countOf(of) }, weights === undefined ? undefined : weightsOf(where, weights, rows));
    return new ConformalRegression(method, yield* partOf(table, 0.5, 0.5), undefined, undefined);
  }

  /**
   * Intervals for a batch.
   *
   * @param predictions - float32 [N]; "cqr": [N, 2]; "cv+": [N, K], "jackknife+": [N, n], the prediction of each fold's model (that left the fold out)
   * @param options - `alpha` (0.1), `scale`, `groups`, `weights`
   * @throws RangeError for another shape, a number that is not finite, an alpha outside [0, 1], options that are missing or uncalled for
   */
  interval(predictions: TensorLike, options: RegressionIntervalOptions = {}): RegressionIntervals {
    const where = "ConformalRegression.interval";
    const { alpha = 0.1, scale, groups, weights } = options, { method } = this;
    if (!(alpha >= 0 && alpha <= 1)) throw rangeError(where, "alpha", "in [0, 1]", `${alpha}`);
    if ((method === "normalized") !== (scale !== undefined)) throw rangeError(where, "scale", method === "normalized" ? "float32 [N]" : 'only with "normalized"', scale === undefined ? "none" : `some with "${method}"`);
    checkGiven(where, "groups", this.#groups !== undefined, groups);
    checkGiven(where, "weights", this.#table?.weighted ?? false, weights);
    const width = method === "cqr" ? 2 : this.folds, wide = method === "cqr" || this.#residuals !== undefined;
    const m = finite(where, "predictions", predictions, wide ? ["N", width] : ["N"]), rows = wide ? m.length / width : m.length;
    const s = scale === undefined ? undefined : positive(where, scale, rows);
    const group = groups === undefined ? undefined : groupsOf(where, groups, rows, this.#groups!), weight = weights === undefined ? undefined : weightsOf(where, weights, rows);
    const low = new Float32Array(rows), high = new Float32Array(rows);
    const { n } = this, lows = new Float64Array(this.#residuals ? n : 0), highs = new Float64Array(lows.length);
    // As conformalRank: what is an integer in exact arithmetic is not rounded away. floor(alpha (n + 1)) = n + 1 - k.
    const k = Math.ceil((n + 1) * (1 - alpha) - 1e-9);
    for (let i = 0; i < rows; i++) {
      if (this.#residuals) {
        for (let j = 0; j < n; j++) {
          const centre = m[i * width + (this.#foldOf ? this.#foldOf[j] : j)], r = this.#residuals[j];
          lows[j] = centre - r;
          highs[j] = centre + r;
        }
        lows.sort();
        highs.sort();
        low[i] = k > n ? -Infinity : k < 1 ? Infinity : roundDown(lows[n - k]);
        high[i] = k > n ? Infinity : k < 1 ? -Infinity : roundUp(highs[k - 1]);
      } else {
        const q = this.#table!.threshold(alpha, group ? group[i] : 0, weight ? weight[i] : 1) * (s ? s[i] : 1);
        low[i] = roundDown((wide ? m[2 * i] : m[i]) - q);
        high[i] = roundUp((wide ? m[2 * i + 1] : m[i]) + q);
      }
    }
    return { low: new Tensor("float32", [rows], low), high: new Tensor("float32", [rows], high), alpha };
  }

  /** The k-th smallest score of the group (default 0) of a split method, k = ceil((n + 1)(1 - alpha)); Infinity where k > n. RangeError for cv+, jackknife+ and weights, where it depends on the row. */
  quantile(alpha: number, group = 0): number {
    return this.#split("ConformalRegression.quantile", alpha, group).threshold(alpha, group, 1);
  }

  /** What to expect of new rows of a split method (of the group, default 0) at `alpha`. RangeError as `quantile`. */
  expectedCoverage(alpha: number, level = 0.95, group = 0): ExpectedCoverage {
    return this.#split("ConformalRegression.expectedCoverage", alpha, group).expectedCoverage("ConformalRegression.expectedCoverage", alpha, level, group);
  }

  toJSON(): ConformalRegressionJSON {
    const { method, n } = this;
    if (!this.#table) {
      const scores = tensorToJSON(new Tensor("float32", [n], this.#residuals!));
      return { format: FORMAT, version: 1, method, n, scores, ...(this.#foldOf && { folds: tensorToJSON(new Tensor("int32", [n], this.#foldOf)) }) };
    }
    const conditions = [...(this.#groups !== undefined ? ["groups"] : []), ...(this.#table.weighted ? ["weights"] : [])];
    return { format: FORMAT, version: 1, method, ...(conditions.length > 0 && { conditions }), ...this.#table.toJSON() };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): ConformalRegression {
    const fields = readJson("ConformalRegression.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const has = (field: string): boolean => Object.hasOwn(json as object, field);
    const method = fields.oneOf("method", METHODS);
    if (method === "cv+" || method === "jackknife+") {
      const n = fields.integer("n", 1, 2147483647), residuals = fields.tensor("scores", "float32", 1).data;
      if (residuals.length !== n) fields.fail("scores", `${n} numbers`, `${residuals.length}`);
      const bad = residuals.findIndex((r) => r < 0);
      if (bad >= 0) fields.fail("scores", ">= 0", `${residuals[bad]} at index ${bad}`);
      if (method === "jackknife+") return new ConformalRegression(method, undefined, residuals, undefined);
      const folds = fields.tensor("folds", "int32", 1).data;
      const wrong = folds.findIndex((f) => !(f >= 0 && f < n));
      if (folds.length !== n || wrong >= 0 || countOf(folds) < 2) fields.fail("folds", `${n} integers in [0, ${n}), of at least 2 folds`, folds.length !== n ? `${folds.length}` : wrong >= 0 ? `${folds[wrong]} at index ${wrong}` : "1 fold");
      return new ConformalRegression(method, undefined, residuals, folds);
    }
    const conditions = has("conditions") ? fields.strings("conditions") : [];
    if (has("conditions") && !["groups", "weights", "groups,weights"].includes(conditions.join())) fields.fail("conditions", '"groups", "weights" or both', JSON.stringify(conditions));
    const grouped = conditions.includes("groups"), weighted = conditions.includes("weights");
    for (const [field, named] of [["groupSizes", grouped], ["weights", weighted]] as const) if (has(field) && !named) fields.fail("conditions", `that go with \`${field}\``, JSON.stringify(conditions));
    return new ConformalRegression(method, ScoreTable.fromJSON(fields, grouped, weighted, method === "cqr" ? -3.5e38 : 0, 3.5e38), undefined, undefined);
  }

  #split(where: string, alpha: number, group: number): ScoreTable {
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    const table = this.#table;
    if (!table) throw rangeError(where, "this", "fitted by a split method", `"${this.method}"`);
    if (table.weighted) throw rangeError(where, "this", "fitted without weights", "a weighted fit", "Its quantile depends on the weight of the row");
    checkInteger(where, "group", group, 0, (table.groups ?? 1) - 1);
    return table;
  }
}

function finite(where: string, argument: string, x: TensorLike, shape: readonly (number | string)[]): Float32Array {
  const given = asFloat32(where, argument, x), { data } = given;
  checkShape(where, argument, given, shape);
  for (let i = 0; i < data.length; i++) if (data[i] - data[i] !== 0) throw rangeError(where, argument, "of finite numbers", `${data[i]} at index ${i}`);
  return data;
}

function positive(where: string, scale: TensorLike, rows: number): Float32Array {
  const s = finite(where, "scale", scale, [rows]);
  for (let i = 0; i < rows; i++) if (!(s[i] > 0)) throw rangeError(where, "scale", "> 0", `${s[i]} at index ${i}`);
  return s;
}
