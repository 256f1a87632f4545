import { normalCdf, normalQuantile, sortOrder } from "@logits/statistics";
import { Tensor, asFloat32, checkShape, rangeError, readJson, tensorToJSON, type TensorJSON, type TensorLike } from "@logits/tensor";
import { firstAtLeast } from "./binaryCalibrator.ts";
import { checkedNormal } from "./varianceScaling.ts";

const FORMAT = "logits/pit-recalibration";

/** What `PitRecalibration` writes as JSON. */
export interface PitRecalibrationJSON {
  readonly format: "logits/pit-recalibration";
  readonly version: 1;
  readonly n: number;
  readonly below: number;
  readonly above: number;
  readonly knots: TensorJSON;
  readonly counts: TensorJSON;
}

/**
 * Any predictive distribution, recalibrated: a monotone map R of its probabilities, the distribution of the probability integral transform (PIT) of known targets.
 *
 *   u_n = F_n(y_n),   R(u_n) = #{m : u_m <= u_n} / (N + 1)
 *   recalibrated distribution function: R(F(y)),   recalibrated quantile: F^-1(R^-1(p))
 *
 * That is the isotonic regression of Kuleshov et al.: their points (u_n, share of u at most u_n) increase already, so that the best monotone fit goes through them. N + 1 stands in the place of their N: a new
 * row that is exchangeable with those of the fit, without ties, then lies below the recalibrated k / (N + 1) quantile with a probability of exactly k / (N + 1). Between the points the map is linear in probits
 * z = Phi^-1(u), outside it goes on with the mean slope: a normal tail. Probits keep apart what probabilities near 0 and 1 cannot: residuals of an overconfident model are ten predicted deviations and more.
 *
 * Sources: Kuleshov, Fenner, Ermon, "Accurate uncertainties for deep learning using calibrated regression", ICML 2018; N + 1 as in conformal predictive distributions (Vovk, Shen, Manokhin, Xie, Machine Learning 2019).
 */
export class PitRecalibration {
  /** Rows of the fit. */
  readonly n: number;
  /** Rows with a PIT of exactly 0. */
  readonly below: number;
  /** Rows with a PIT of exactly 1. */
  readonly above: number;
  /** The distinct probits of the other rows, float32 [K], strictly increasing. */
  readonly knots: Tensor<"float32">;
  /** Rows with a PIT at most each, int32 [K], strictly increasing. */
  readonly counts: Tensor<"int32">;
  /** Probits of counts / (N + 1). */
  readonly #levels: Float64Array;

  private constructor(n: number, below: number, above: number, knots: Tensor<"float32">, counts: Tensor<"int32">) {
    this.n = n;
    this.below = below;
    this.above = above;
    this.knots = knots;
    this.counts = counts;
    this.#levels = Float64Array.from(counts.data, (count) => normalQuantile(count / (n + 1)));
    Object.freeze(this);
  }

  /**
   * Fits R on rows that no later step uses.
   *
   * @param pit - float32 [N], N at least 1, in [0, 1]: the predicted distribution function of each row at its target
   * @returns the fitted map; equal values count together
   * @throws RangeError for no rows, another shape, a value outside [0, 1] or NaN (with its index)
   * @example
   *   PitRecalibration.fit([0.4, 0.5, 0.6]).at(0.5); // 0.5: two of three rows lie at most there, 2 / (3 + 1)
   */
  static fit(pit: TensorLike): PitRecalibration {
    const where = "PitRecalibration.fit", u = asFloat32(where, "pit", pit);
    checkShape(where, "pit", u, ["N"]);
    if (u.size === 0) throw rangeError(where, "pit", "with at least one row", "none");
    for (let i = 0; i < u.size; i++) if (!(u.data[i] >= 0 && u.data[i] <= 1)) throw rangeError(where, "pit", "in [0, 1]", `${u.data[i]} at index ${i}`);
    return PitRecalibration.of(u.data.map((x) => normalQuantile(x)));
  }

  /**
   * Fits R for normal predictions, from the residuals (y - mu) / sigma: these are the probits.
   *
   * @param means - float32 [N], N at least 1, finite
   * @param deviations - float32 [N], finite and above 0
   * @param targets - float32 [N], finite
   * @throws RangeError for no rows, another shape, a number that is not finite, a deviation that is not above 0 (with its index)
   * @example
   *   PitRecalibration.fitNormal([0, 0, 0], [1, 1, 1], [-1, 5, 20]).normalQuantiles([0], [1], [0.5]); // 5
   */
  static fitNormal(means: TensorLike, deviations: TensorLike, targets: TensorLike): PitRecalibration {
    const rows = checkedNormal("PitRecalibration.fitNormal", { means, deviations, targets });
    if (rows.means.length === 0) throw rangeError("PitRecalibration.fitNormal", "means", "with at least one row", "none");
    return PitRecalibration.of(rows.means.map((mean, i) => (rows.targets[i] - mean) / rows.deviations[i]));
  }

  private static of(z: Float32Array): PitRecalibration {
    const n = z.length, order = sortOrder(z), knots = new Float32Array(n), counts = new Int32Array(n);
    let k = 0, below = 0, above = 0;
    for (let i = 0; i < n; i++) {
      const x = z[order[i]] + 0; // -0 counts as 0
      if (x === -Infinity) below++;
      else if (x === Infinity) above++;
      else {
        if (k === 0 || x !== knots[k - 1]) knots[k++] = x;
        counts[k - 1] = i + 1;
      }
    }
    return new PitRecalibration(n, below, above, new Tensor("float32", [k], knots.slice(0, k)), new Tensor("int32", [k], counts.slice(0, k)));
  }

  /** R(u) of one probability of the model, in float64; NaN outside [0, 1] and for NaN. R(0) is the share of rows there, R(1) = 1. */
  at(u: number): number {
    if (!(u >= 0 && u <= 1)) return NaN;
    const low = this.below / (this.n + 1);
    if (u === 0 || u === 1) return u === 0 ? low : 1;
    return Math.min(1 - this.above / (this.n + 1), Math.max(low, normalCdf(along(this.knots.data, this.#levels, normalQuantile(u)))));
  }

  /** R^-1(p): the probability at which to ask the model for its quantile to get that of level p, in float64; NaN outside [0, 1] and for NaN. */
  level(p: number): number {
    return normalCdf(this.#probit(p));
  }

  /** Probit of R^-1(p). */
  #probit(p: number): number {
    if (!(p >= 0 && p <= 1)) return NaN;
    if (p === 0 || p * (this.n + 1) <= this.below) return -Infinity;
    if (p === 1 || (1 - p) * (this.n + 1) < this.above) return Infinity;
    return along(this.#levels, this.knots.data, normalQuantile(p));
  }

  /**
   * Recalibrated probabilities R(u).
   *
   * @param pit - float32 of any shape: probabilities of the model, F(y) at any y
   * @returns float32, the same shape; NaN outside [0, 1]
   */
  transform(pit: TensorLike): Tensor<"float32"> {
    const u = asFloat32("PitRecalibration.transform", "pit", pit), out = new Float32Array(u.size);
    for (let i = 0; i < out.length; i++) out[i] = this.at(u.data[i]);
    return new Tensor("float32", u.shape, out);
  }

  /**
   * Recalibrated quantiles of normal predictions: mu + sigma Phi^-1(R^-1(p)).
   *
   * @param means - float32 [B]
   * @param deviations - float32 [B], not negative
   * @param levels - the probabilities p, in [0, 1]
   * @returns float32 [B, levels.length]; 0 and 1 give -Infinity and Infinity, and so does a p that the rows with a PIT of 0 or 1 fill; NaN stays NaN
   * @throws RangeError for another shape, a level outside [0, 1]
   */
  normalQuantiles(means: TensorLike, deviations: TensorLike, levels: readonly number[]): Tensor<"float32"> {
    const where = "PitRecalibration.normalQuantiles", mu = asFloat32(where, "means", means), sigma = asFloat32(where, "deviations", deviations);
    checkShape(where, "means", mu, ["B"]);
    checkShape(where, "deviations", sigma, [mu.size]);
    const z = levels.map((p, i) => {
      if (!(p >= 0 && p <= 1)) throw rangeError(where, "levels", "in [0, 1]", `${p} at index ${i}`);
      return this.#probit(p);
    });
    const out = new Float32Array(mu.size * z.length);
    for (let b = 0; b < mu.size; b++) for (let i = 0; i < z.length; i++) out[b * z.length + i] = mu.data[b] + sigma.data[b] * z[i];
    return new Tensor("float32", [mu.size, z.length], out);
  }

  toJSON(): PitRecalibrationJSON {
    return { format: FORMAT, version: 1, n: this.n, below: this.below, above: this.above, knots: tensorToJSON(this.knots), counts: tensorToJSON(this.counts) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): PitRecalibration {
    const fields = readJson("PitRecalibration.fromJSON", json, FORMAT, 1, "@logits/calibration");
    const n = fields.integer("n", 1, 2147483647), below = fields.integer("below", 0, n), above = fields.integer("above", 0, n - below);
    const knots = fields.tensor("knots", "float32", 1), counts = fields.tensor("counts", "int32", 1);
    if (counts.size !== knots.size) fields.fail("counts", `${knots.size} numbers, one for each of \`knots\``, `${counts.size}`);
    for (let i = 0, count = below; i < knots.size; count = counts.data[i++]) {
      if (i > 0 && !(knots.data[i] > knots.data[i - 1])) fields.fail("knots", "strictly increasing numbers", `${knots.data[i]} after ${knots.data[i - 1]}`);
      if (!(counts.data[i] > count)) fields.fail("counts", `strictly increasing numbers above ${below}`, `${counts.data[i]} at index ${i}`);
    }
    const last = knots.size > 0 ? counts.data[knots.size - 1] : below;
    if (last !== n - above) fields.fail("counts", `numbers that end with ${n - above}`, `${last}`);
    return new PitRecalibration(n, below, above, knots, counts);
  }
}

/** The piecewise linear function through (x, y), both strictly increasing, that goes on outside with its mean slope; one point: slope 1, none: t itself. */
function along(x: ArrayLike<number>, y: ArrayLike<number>, t: number): number {
  const last = x.length - 1;
  if (last < 0) return t;
  if (t < x[0] || t > x[last]) {
    const end = t < x[0] ? 0 : last;
    return y[end] + (t - x[end]) * (last > 0 ? (y[last] - y[0]) / (x[last] - x[0]) : 1);
  }
  const i = firstAtLeast(x, t);
  return x[i] === t ? y[i] : y[i - 1] + ((t - x[i - 1]) / (x[i] - x[i - 1])) * (y[i] - y[i - 1]);
}
