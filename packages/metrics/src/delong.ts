import { normalCdf, normalQuantile, ranks } from "@logits/statistics";
import { rangeError, type TensorLike } from "@logits/tensor";
import { binaryRows, type BinaryRows } from "./binaryRows.ts";
import type { Estimate } from "./estimate.ts";
import { checkedLevel, type EstimateOptions } from "./regressionRows.ts";
import { numbers } from "./rows.ts";

/** An area with its interval. */
export interface AurocEstimate extends Estimate {
  /** Of the value. */
  readonly standardError: number;
  readonly positives: number;
  readonly negatives: number;
}

/** The difference of two numbers measured on the same rows. */
export interface PairedDifference extends Estimate {
  /** Of the hypothesis that there is no difference, two-sided. */
  readonly pValue: number;
}

/**
 * The AUROC with DeLong's interval.
 *
 *   V_i = share of negative rows that positive row i beats, U_j = share of positive rows that beat negative row j (ties count one half);   se^2 = var(V) / m + var(U) / n,   value +- z se, clipped to [0, 1]
 *
 * `positives` has no default. The interval is a large-sample one: with an area of 1 or 0 it is that single number, however few the rows, and near the ends it is short (a bootstrap is no better there). The rows of each
 * kind must be independent of each other.
 *
 * @param scores - float32 or float64 [N]; higher = more positive; infinities are ordinary scores
 * @param positives - mask [N]: 1 or true = positive; at least two rows of each kind
 * @param options - `level` (0.95)
 * @returns `value` as `auroc` gives it, `interval`, `standardError`, `positives`, `negatives`
 * @throws RangeError for another shape, a NaN (its row is named), fewer than two rows of a kind, a level outside (0, 1)
 * @example
 *   aurocEstimate([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).standardError; // 0.3536
 * Source: DeLong, DeLong, Clarke-Pearson, Biometrics 44 (1988); by ranks: Sun and Xu, IEEE Signal Processing Letters 21 (2014).
 */
export function aurocEstimate(scores: TensorLike, positives: TensorLike, options: EstimateOptions = {}): AurocEstimate {
  const where = "aurocEstimate", level = checkedLevel(where, options.level), rows = binaryRows(where, scores, positives);
  const { value, won, lost } = components(where, rows);
  const standardError = Math.sqrt(variance(won) / won.length + variance(lost) / lost.length), half = normalQuantile((1 + level) / 2) * standardError;
  return {
    value, n: rows.scores.length, interval: [Math.max(0, value - half), Math.min(1, value + half)], level, convention: "area under the ROC curve, ties one half; DeLong's interval",
    standardError, positives: won.length, negatives: lost.length,
  };
}

/**
 * DeLong's test of two scores of the same rows: the difference of their AUROCs, whose errors are correlated.
 *
 *   z = (A_a - A_b) / se,   se^2 = var(V_a - V_b) / m + var(U_a - U_b) / n
 *
 * @param a - float32 or float64 [N]; higher = more positive
 * @param b - another score of the same rows, [N]; need not be on the same scale
 * @param positives - mask [N]; at least two rows of each kind
 * @param options - `level` (0.95)
 * @returns `value` = AUROC of a minus that of b, `interval`, `pValue` (1 where the two orders give every row the same share)
 * @throws RangeError for another shape, a NaN (its row is named), fewer than two rows of a kind, a level outside (0, 1)
 * @example
 *   aurocDifference([0.1, 0.4, 0.35, 0.8], [0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]).value; // -0.25
 * Source: as `aurocEstimate`.
 */
export function aurocDifference(a: TensorLike, b: TensorLike, positives: TensorLike, options: EstimateOptions = {}): PairedDifference {
  const where = "aurocDifference", level = checkedLevel(where, options.level), rows = binaryRows(where, a, positives), other = numbers(where, "b", b);
  if (other.length !== rows.scores.length) throw rangeError(where, "b", `of shape [${rows.scores.length}]`, `[${other.length}]`);
  const one = components(where, rows), two = components(where, { ...rows, scores: other });
  const difference = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, i) => value - y[i]);
  const won = difference(one.won, two.won), lost = difference(one.lost, two.lost);
  const value = one.value - two.value, error = Math.sqrt(variance(won) / won.length + variance(lost) / lost.length), half = normalQuantile((1 + level) / 2) * error;
  return {
    value, n: other.length, interval: [Math.max(-1, value - half), Math.min(1, value + half)], level, convention: "difference of two areas under ROC curves on the same rows; DeLong's test",
    pValue: error > 0 ? 2 * normalCdf(-Math.abs(value) / error) : value === 0 ? 1 : 0,
  };
}

/** For each positive row the share of negative ones that it beats, for each negative row the share of positive ones that beat it. */
function components(where: string, { scores, positives, count }: BinaryRows): { readonly value: number; readonly won: Float64Array; readonly lost: Float64Array } {
  const m = count, n = scores.length - count;
  if (m < 2 || n < 2) throw rangeError(where, "positives", "with at least two positive and two negative rows", `${m} and ${n}`);
  const x = new Float64Array(m), y = new Float64Array(n);
  for (let i = 0, p = 0, q = 0; i < scores.length; i++) {
    if (positives[i]) x[p++] = scores[i];
    else y[q++] = scores[i];
  }
  const both = new Float64Array(m + n);
  both.set(x);
  both.set(y, m);
  const rank = ranks(both), inX = ranks(x), inY = ranks(y);
  const won = x.map((_, i) => (rank[i] - inX[i]) / n), lost = y.map((_, j) => 1 - (rank[m + j] - inY[j]) / m);
  let pairs = 0;
  for (let i = 0; i < m; i++) pairs += rank[i] - inX[i];
  return { value: pairs / m / n, won, lost };
}

function variance(x: Float64Array): number {
  const mean = x.reduce((sum, one) => sum + one, 0) / x.length;
  return x.reduce((sum, one) => sum + (one - mean) * (one - mean), 0) / (x.length - 1);
}
