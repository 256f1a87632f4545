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

/** Writes the scale of one row. A row without keys, and one with Z = 0 where Z divides, has beta = gamma = 0 and no gradient. */
export function rowScale(normalizer: LinearNormalizer, sum: number, count: number, power: number, out: RowScale): void {
  out.beta = out.gamma = out.betaBySum = out.gammaBySum = out.betaByPower = 0;
  if (normalizer === "none") {
    out.beta = 1;
  } else if (normalizer === "count") {
    if (count === 0) return;
    out.beta = pow(count, -power);
    out.betaByPower = -log(count) * out.beta;
  } else if (sum !== 0) {
    out.beta = 1 / sum;
    out.betaBySum = -1 / (sum * sum);
    if (normalizer === "magnitude") {
      out.beta += 1 / count;
      out.gamma = sum / (count * count);
      out.gammaBySum = 1 / (count * count);
    }
  }
}
