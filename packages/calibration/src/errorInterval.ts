import { clopperPearson, normalQuantile } from "@logits/statistics";
import type { BinSums } from "./bins.ts";
import { squaredNormInterval } from "./squaredNormInterval.ts";

/** Bins of one class (or of all rows) and the weight of its error among the others. */
export interface WeightedBins {
  readonly sums: Pick<BinSums, "count" | "confidence" | "correct" | "squares">;
  /** Share of the class: 1 / C class-wise, n_c / N for predicted classes, 1 for the top label. */
  readonly share: number;
}

/** Root of 2 / pi: the mean of |Z|. */
const MEAN_ABSOLUTE = 0.7978845608028654;

/**
 * What chance adds to the sum of residuals of a bin, squared: their sum of squares, and what four rows more, two of them right, add to the variance of the answers, so
 * that a bin without any error is not certain (Agresti and Coull, 1998).
 */
function extra(rows: number, right: number): number {
  const p = (right + 2) / (rows + 4);
  return rows * p * (1 - p) - (right * (rows - right)) / rows;
}

/**
 * Interval of a calibration error over bins: of the error that infinitely many rows would show in these bins.
 *
 * The gaps g_b are estimated with independent normal noise Z_b, and an error is a norm of them. Norm 1: |g + Z| <= |g| + |Z|, where |Z| exceeds its mean by z S with no
 * more than the normal's probability, S the largest deviation of any sum of +-Z_b (Borell; Tsirelson, Ibragimov, Sudakov); and |g + Z| >= |g| + sum of sign(g_b) Z_b. So it holds
 * wherever the truth is, at a perfect model too, where a bootstrap fails. Norm 2: `squaredNormInterval`. Norm "max": Clopper-Pearson and normal intervals of all bins together.
 *
 * @param together - rows of which each is in bins of every class (class-wise): mean over classes of |residual| per row, squared and summed
 */
export function errorInterval(bins: readonly WeightedBins[], n: number, norm: 1 | 2 | "max", level: number, together: number | undefined): readonly [low: number, high: number] {
  const z = normalQuantile((1 + level) / 2);
  if (norm === "max") return largest(bins, level);
  if (norm === 1) {
    let value = 0, mean = 0, variance = together ?? 0, common = 0;
    for (const { sums: { count, confidence, correct, squares }, share } of bins) {
      // Residual sums over all rows: predicted classes share them, class-wise every class has all.
      const weight = together === undefined ? 1 : share;
      let added = 0;
      for (let b = 0; b < count.length; b++) {
        if (count[b] === 0) continue;
        const more = extra(count[b], correct[b]);
        value += weight * Math.abs(correct[b] - confidence[b]);
        mean += weight * Math.sqrt(squares[b] + more);
        added += more;
        if (together === undefined) variance += squares[b] + more;
      }
      common += share * Math.sqrt(added);
    }
    if (together !== undefined) variance += common * common;
    const deviation = Math.sqrt(variance);
    return [Math.max(0, (value - MEAN_ABSOLUTE * mean - z * deviation) / n), Math.min(1, (value + z * deviation) / n)];
  }
  // Components sqrt(n_b / N) gap_b with variances (sum of squares) / (N n_b), each class by its share.
  let square = 0, trace = 0, most = 0, mostOfAll = 0, fourth = 0, fourthRoots = 0;
  for (const { sums: { count, confidence, correct, squares }, share } of bins) {
    const scale = together === undefined ? 1 : share;
    let top = 0, quartic = 0;
    for (let b = 0; b < count.length; b++) {
      if (count[b] === 0) continue;
      const gap = correct[b] - confidence[b], variance = (scale * (squares[b] + extra(count[b], correct[b]))) / count[b] / n;
      square += (scale * gap * gap) / count[b] / n;
      trace += variance;
      top = Math.max(top, variance);
      quartic += variance * variance;
    }
    most = Math.max(most, top);
    mostOfAll += top;
    fourth += quartic;
    fourthRoots += Math.sqrt(quartic);
  }
  // Classes that share rows are not independent: sums of roots are bounds.
  const [low, high] = together === undefined ? squaredNormInterval(square - trace, most, fourth, level) : squaredNormInterval(square - trace, mostOfAll, fourthRoots * fourthRoots, level);
  return [Math.sqrt(low), Math.min(1, Math.sqrt(high))];
}

function largest(bins: readonly WeightedBins[], level: number): readonly [low: number, high: number] {
  let cells = 0, low = 0, high = 0;
  for (const { sums } of bins) for (let b = 0; b < sums.count.length; b++) if (sums.count[b] > 0) cells++;
  const tail = (1 - level) / cells, z = normalQuantile(1 - tail / 2);
  for (const { sums: { count, confidence, correct, squares } } of bins) {
    for (let b = 0; b < count.length; b++) {
      const rows = count[b];
      if (rows === 0) continue;
      const mean = confidence[b] / rows, gap = correct[b] / rows - mean, noise = (z * Math.sqrt(squares[b])) / rows, [least, most] = clopperPearson(correct[b], rows, 1 - tail);
      const from = Math.min(gap - noise, least - mean), to = Math.max(gap + noise, most - mean);
      low = Math.max(low, from, -to);
      high = Math.max(high, -from, to);
    }
  }
  return [low, Math.min(1, high)];
}
