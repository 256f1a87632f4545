import { newtonSteps, type SecondOrderObjective } from "@logits/optimize";
import { exp, log1p, logit, sigmoid } from "@logits/statistics";
import { ConvergenceError, Tensor, asFloat32, checkInteger, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import { BinaryMap, checkedBinary, plattTargets, type BinaryPairs } from "./binaryCalibrator.ts";
import { dealtSteps } from "./groupedScores.ts";

const FORMAT = "logits/spline-calibration";
/** Weights of the penalty that cross-validation tries, the smoothest first. */
const LAMBDAS = [100, 10, 1, 0.1, 0.01, 0.001, 1e-4, 1e-5, 1e-6];
const FOLDS = 5;
/** Cells of the range of the scores; the rows of one count at their mean score. */
const CELLS = 2048;

/** Options of `SplineCalibration`. */
export interface SplineCalibrationOptions {
  /** Equal pieces of the range of the scores, an integer in [1, 200]; default 20. */
  readonly segments?: number;
  /** 3 (default): cubic pieces, smooth to the second derivative. 1: straight lines. */
  readonly degree?: 1 | 3;
  /** Weight of the penalty >= 0, or "cross-validated" (the default): of 100, 10, ..., 1e-6 the one with the smallest log loss over 5 folds; of equal ones the larger. */
  readonly lambda?: number | "cross-validated";
}

/** What `SplineCalibration` writes as JSON. */
export interface SplineCalibrationJSON extends Pick<SplineCalibration, "n" | "degree" | "lambda" | "loss" | "low" | "high"> {
  readonly format: "logits/spline-calibration";
  readonly version: 1;
  readonly coefficients: TensorJSON;
}

type Fields = Omit<SplineCalibrationJSON, "format" | "version" | "coefficients"> & { readonly coefficients: Tensor<"float32"> };

/**
 * log-odds of yes = sum_j c_j B_j(s), B-splines on equal pieces of the range of the scores, with a penalty on second differences (a P-spline): a curve where the data ask for one, a straight
 * line (Platt scaling) where they do not.
 *
 *   min_c (1 / N) sum_n CE(t_n, sum_j c_j B_j(s_n)) + lambda sum_j (c_j - 2 c_{j+1} + c_{j+2})^2
 *
 * t are Platt's targets (see `PlattScaling`), so that the optimum is finite. Outside the scores of the fit it is constant. Does not promise to keep the order of the scores: where it must,
 * use `IsotonicCalibration` or `BetaCalibration`.
 *
 * Source: Eilers and Marx, "Flexible smoothing with B-splines and penalties", Statistical Science 11 (1996); Lucena, "Spline-based probability calibration", 2018, for splines on log-odds.
 */
export class SplineCalibration extends BinaryMap {
  readonly degree: number;
  /** Weight of the penalty. */
  readonly lambda: number;
  /** Mean log loss over rows that the fit of their fold did not see, in nats, for the chosen lambda; with a given lambda, and for one row, that of the fit to its targets. */
  readonly loss: number;
  /** The smallest and the largest score of the fit. */
  readonly low: number;
  readonly high: number;
  /** c, float32 [segments + degree]. */
  readonly coefficients: Tensor<"float32">;

  private constructor(fields: Fields) {
    super(fields.n);
    this.degree = fields.degree;
    this.lambda = fields.lambda;
    this.loss = fields.loss;
    this.low = fields.low;
    this.high = fields.high;
    this.coefficients = fields.coefficients;
    Object.freeze(this);
  }

  protected get name(): string {
    return "SplineCalibration";
  }

  /**
   * Fits the curve on rows that no later step uses.
   *
   * @param scores - float32 [N], N at least 1, finite: log-odds, or any score that is not cramped at its ends as probabilities are
   * @param labels - mask [N]: 1 or true = yes
   * @param options - `segments` (default 20), `degree` (default 3), `lambda` (default "cross-validated")
   * @returns the fitted curve; equal scores, or one row: a constant
   * @throws RangeError for no rows, another shape, a score that is not finite (the row is named), an option out of range; ConvergenceError if the optimum was not reached
   * @example
   *   SplineCalibration.fit([-2, -1, 1, 2], [0, 1, 0, 1]).probabilities([0]); // 0.5
   */
  static fit(scores: TensorLike, labels: TensorLike, options: SplineCalibrationOptions = {}): SplineCalibration {
    return runSteps(SplineCalibration.fitSteps("SplineCalibration.fit", scores, labels, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(scores: TensorLike, labels: TensorLike, options: SplineCalibrationOptions & LongWorkOptions = {}): Promise<SplineCalibration> {
    return runStepsAsync(SplineCalibration.fitSteps("SplineCalibration.fitAsync", scores, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, scores: TensorLike, labels: TensorLike, options: SplineCalibrationOptions = {}): Steps<SplineCalibration> {
    const { segments = 20, degree = 3, lambda = "cross-validated" } = options;
    checkInteger(where, "segments", segments, 1, 200);
    if (degree !== 1 && degree !== 3) throw rangeError(where, "degree", "1 or 3", `${degree as number}`);
    if (lambda !== "cross-validated" && !(lambda >= 0 && lambda < Infinity)) throw rangeError(where, "lambda", 'a finite number >= 0 or "cross-validated"', `${lambda}`);
    const pairs = checkedBinary(where, scores, labels), { n } = pairs, count = Math.min(FOLDS, n);
    const parts = yield* dealtSteps(pairs, count);
    let low = Infinity, high = -Infinity;
    for (const { s } of parts) {
      low = Math.min(low, s[0] + 0);
      high = Math.max(high, s[s.length - 1]);
    }
    const grid = gridOf(parts, low, high, segments, degree), all = sumOf(grid.parts), level = logit(meanTarget(all));
    const fit = function* (rows: Counts, weight: number, start: Float64Array): Steps<{ c: Float64Array; loss: number }> {
      const steps = newtonSteps(objectiveOf(grid, rows, weight), start);
      for (let step = steps.next(); ; step = steps.next()) {
        if (!step.done) {
          yield 0;
          continue;
        }
        const { x, value, gradientNorm, iterations } = step.value;
        // Rounding of the loss can end the search a little above the tolerance.
        if (gradientNorm > 1e-7) throw new ConvergenceError(`${where}: expected the spline to converge, got a gradient of ${gradientNorm}`, iterations, gradientNorm);
        return { c: x, loss: value };
      }
    };
    const flat = (): Float64Array => new Float64Array(segments + degree).fill(level), vector = (c: Float64Array): Tensor<"float32"> => new Tensor("float32", [c.length], Float32Array.from(c));
    const made = (c: Float64Array, weight: number, loss: number): SplineCalibration => new SplineCalibration({ n, degree, lambda: weight, loss, low, high, coefficients: vector(c) });
    if (lambda !== "cross-validated" || count < 2 || low === high) {
      const weight = lambda === "cross-validated" ? LAMBDAS[0] : lambda;
      // Without a range every B-spline is as good as another.
      const { c, loss } = low === high ? { c: flat(), loss: objectiveOf(grid, all, 0)(flat(), new Float64Array(segments + degree), new Float64Array((segments + degree) ** 2)) } : yield* fit(all, weight, flat());
      return made(c, weight, loss);
    }
    const losses = new Float64Array(LAMBDAS.length);
    for (let k = 0; k < count; k++) {
      const train = sumOf(grid.parts.filter((_, other) => other !== k));
      let c = flat();
      for (const [l, weight] of LAMBDAS.entries()) {
        ({ c } = yield* fit(train, weight, c));
        losses[l] += lossOf(grid, grid.parts[k], c) / n;
        yield 0.95 * ((k + (l + 1) / LAMBDAS.length) / (count + 1));
      }
    }
    const best = losses.reduce((least, loss, l) => (loss < losses[least] ? l : least), 0);
    let c = flat();
    for (const weight of LAMBDAS.slice(0, best + 1)) ({ c } = yield* fit(all, weight, c));
    return made(c, LAMBDAS[best], losses[best]);
  }

  /** Calibrated log-odds at one score. */
  #logit(score: number): number {
    const { low, high, degree, coefficients: { data: c } } = this;
    if (score !== score) return NaN;
    const first = basisAt(Math.min(high, Math.max(low, score)), low, high, c.length - degree, degree, AT_ONE, 0);
    let odds = 0;
    for (let j = 0; j <= degree; j++) odds += AT_ONE[j] * c[first + j];
    return odds;
  }

  at(score: number): number {
    return sigmoid(this.#logit(score));
  }

  /**
   * Calibrated log-odds.
   *
   * @param scores - float32 of any shape
   * @returns float32, the same shape
   */
  transform(scores: TensorLike): Tensor<"float32"> {
    const s = asFloat32("SplineCalibration.transform", "scores", scores);
    return new Tensor("float32", s.shape, s.data.map((score) => this.#logit(score)));
  }

  toJSON(): SplineCalibrationJSON {
    const { n, degree, lambda, loss, low, high, coefficients } = this;
    return { format: FORMAT, version: 1, n, degree, lambda, loss, low, high, coefficients: tensorToJSON(coefficients) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): SplineCalibration {
    const fields = readJson("SplineCalibration.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const degree = fields.integer("degree", 1, 3), low = fields.number("low"), high = fields.number("high"), coefficients = fields.tensor("coefficients", "float32", 1);
    if (degree === 2) fields.fail("degree", "1 or 3", "2");
    if (!(low <= high)) fields.fail("high", `at least ${low}, as \`low\``, `${high}`);
    if (coefficients.size <= degree) fields.fail("coefficients", `more than ${degree} numbers`, `${coefficients.size}`);
    return new SplineCalibration({ n: fields.integer("n", 1, Number.MAX_SAFE_INTEGER), degree, lambda: fields.number("lambda", 0), loss: fields.number("loss", 0), low, high, coefficients });
  }
}

/** Room for the B-splines at one score. */
const AT_ONE = /* @__PURE__ */ new Float64Array(4);

/** The degree + 1 B-splines that are not 0 at s, into `weights` from `at` on; returns the index of the first. */
function basisAt(s: number, low: number, high: number, segments: number, degree: number, weights: Float64Array, at: number): number {
  const place = high > low ? ((s - low) / (high - low)) * segments : 0, first = Math.min(segments - 1, Math.floor(place)), u = place - first, v = 1 - u;
  if (degree === 1) {
    weights[at] = v;
    weights[at + 1] = u;
  } else {
    weights[at] = (v * v * v) / 6;
    weights[at + 1] = (3 * u * u * (u - 2) + 4) / 6;
    weights[at + 2] = (3 * v * v * (v - 2) + 4) / 6;
    weights[at + 3] = (u * u * u) / 6;
  }
  return first;
}

/** Rows of each cell, and those of them with yes. */
interface Counts {
  readonly count: Float64Array;
  readonly ones: Float64Array;
}

/** Cells of the score with the B-splines at the mean score of their rows. */
interface Grid {
  readonly parts: readonly Counts[];
  readonly degree: number;
  /** Of each cell, the first B-spline that is not 0. */
  readonly first: Int32Array;
  /** [cells, 4]. */
  readonly weights: Float64Array;
}

function gridOf(parts: readonly BinaryPairs[], low: number, high: number, segments: number, degree: number): Grid {
  const cell = (s: number): number => (high > low ? Math.min(CELLS - 1, Math.floor(((s - low) / (high - low)) * CELLS)) : 0);
  const sums = new Float64Array(CELLS), rows = new Float64Array(CELLS), weights = new Float64Array(4 * CELLS);
  const counts = parts.map(({ s, t, n }): Counts => {
    const count = new Float64Array(CELLS), ones = new Float64Array(CELLS);
    for (let i = 0; i < n; i++) {
      const at = cell(s[i]);
      count[at]++;
      ones[at] += t[i];
      rows[at]++;
      sums[at] += (s[i] - sums[at]) / rows[at];
    }
    return { count, ones };
  });
  return { parts: counts, degree, weights, first: Int32Array.from(sums, (mean, at) => basisAt(rows[at] > 0 ? mean : low, low, high, segments, degree, weights, 4 * at)) };
}

function sumOf(parts: readonly Counts[]): Counts {
  const total = { count: new Float64Array(CELLS), ones: new Float64Array(CELLS) };
  for (const { count, ones } of parts) {
    for (let i = 0; i < CELLS; i++) {
      total.count[i] += count[i];
      total.ones[i] += ones[i];
    }
  }
  return total;
}

/** Rows, and Platt's targets of them. */
function targetsOf({ count, ones }: Counts): { n: number; positives: number; high: number; low: number } {
  const n = count.reduce((sum, x) => sum + x, 0), positives = ones.reduce((sum, x) => sum + x, 0);
  return { n, positives, ...plattTargets({ n, positives }) };
}

function meanTarget(rows: Counts): number {
  const { n, positives, high, low } = targetsOf(rows);
  return (positives * high + (n - positives) * low) / n;
}

/** Summed log loss of the answers themselves. */
function lossOf({ first, weights, degree }: Grid, { count, ones }: Counts, c: Float64Array): number {
  let loss = 0;
  for (let i = 0; i < CELLS; i++) {
    if (count[i] === 0) continue;
    let s = 0;
    for (let j = 0; j <= degree; j++) s += weights[4 * i + j] * c[first[i] + j];
    loss += count[i] * (Math.max(s, 0) + log1p(exp(-Math.abs(s)))) - ones[i] * s;
  }
  return loss;
}

/** The penalised mean cross-entropy to Platt's targets. */
function objectiveOf({ first, weights, degree }: Grid, rows: Counts, lambda: number): SecondOrderObjective {
  const { count, ones } = rows, { n, high, low } = targetsOf(rows);
  return (c, gradient, hessian) => {
    const size = c.length;
    gradient.fill(0);
    hessian.fill(0);
    let loss = 0;
    for (let i = 0; i < CELLS; i++) {
      if (count[i] === 0) continue;
      const at = first[i], w = 4 * i, target = ones[i] * high + (count[i] - ones[i]) * low;
      let s = 0;
      for (let j = 0; j <= degree; j++) s += weights[w + j] * c[at + j];
      const e = exp(-Math.abs(s)), p = s < 0 ? e / (1 + e) : 1 / (1 + e), rest = (count[i] * p - target) / n, bend = (count[i] * e) / ((1 + e) * (1 + e)) / n;
      loss += count[i] * (Math.max(s, 0) + log1p(e)) - target * s;
      for (let j = 0; j <= degree; j++) {
        gradient[at + j] += rest * weights[w + j];
        for (let l = 0; l <= degree; l++) hessian[(at + j) * size + at + l] += bend * weights[w + j] * weights[w + l];
      }
    }
    loss /= n;
    for (let j = 0; j + 2 < size; j++) {
      const bent = c[j] - 2 * c[j + 1] + c[j + 2];
      loss += lambda * bent * bent;
      for (let k = 0; k < 3; k++) {
        gradient[j + k] += 2 * lambda * DIFFERENCE[k] * bent;
        for (let l = 0; l < 3; l++) hessian[(j + k) * size + j + l] += 2 * lambda * DIFFERENCE[k] * DIFFERENCE[l];
      }
    }
    return loss;
  };
}

const DIFFERENCE = [1, -2, 1];
