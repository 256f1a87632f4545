import { pow, log } from "@logits/statistics";

/** How the rows of scores become weights. */
export type LinearNormalizer = "sum" | "none" | "count" | "magnitude";

/** Where a row of scores a[i, j] with sum Z over n keys gives sum_j (beta a[i, j] - gamma) v[j]: the two, and their derivatives. */
export interface RowScale {
  beta: number;
  gamma: number;
  betaBySum: number;
  gammaBySum: number;
  betaByPower: number;
}

/** Below this, 2^-126, float32 sums lose digits and then all: as Z = 0. */
const LEAST = 2 ** -126;

/** Room for a scale. */
export function emptyScale(): RowScale {
  return { beta: 0, gamma: 0, betaBySum: 0, gammaBySum: 0, betaByPower: 0 };
}

/** Writes the scale of one row; false for a row that gives 0 and has no gradient: one without keys, and one with Z = 0 where Z divides. An infinite Z is no such row: what it divides is infinite too, and becomes NaN. */
export function rowScale(normalizer: LinearNormalizer, sum: number, count: number, power: number, out: RowScale): boolean {
  out.beta = out.gamma = out.betaBySum = out.gammaBySum = out.betaByPower = 0;
  if (normalizer === "none") {
    out.beta = 1;
  } else if (normalizer === "count") {
    if (count === 0) return false;
    out.beta = pow(count, -power);
    out.betaByPower = -log(count) * out.beta;
  } else {
    if (Math.abs(sum) < LEAST) return false;
    out.beta = 1 / sum;
    out.betaBySum = -1 / (sum * sum);
    if (normalizer === "magnitude") {
      out.beta += 1 / count;
      out.gamma = sum / (count * count);
      out.gammaBySum = 1 / (count * count);
    }
  }
  return true;
}
