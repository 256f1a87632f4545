import { log, log1mExp, log1p, logGamma, regularizedBeta } from "@logits/statistics";
import { Tensor, checkInteger, rangeError } from "@logits/tensor";

/** Durations of one label, and its tail. */
export interface DurationScores {
  /** log P(length d + 1), float32 [D]. */
  readonly durations: Tensor<"float32">;
  /** What each position beyond D scores. */
  readonly tail: number;
}

/**
 * Scores of durations that are negative binomial: length - 1 positions come before `stages` successes.
 *
 *   log P(length l) = log C(l - 2 + r, l - 1) + r log p + (l - 1) log(1 - p),   p = r / (r + mean - 1)
 *
 * Lengths to D are exact. Beyond it the tail is geometric, with the mass that the distribution has there; with one stage it is the distribution itself, the geometric one, and the fewer lengths lie beyond D the less it matters. Where less than 1e-290 lies there, the tail has the limit of its ratios, 1 - p.
 *
 * @param longest - D, from 1 up
 * @param options - `mean` of the lengths, above 1; `stages` r, above 0, default 1: with more, lengths vary less around the mean
 * @returns `durations`, a column of those of `SemiMarkov.compile`, and `tail`
 * @throws RangeError for a mean of at most 1, stages of at most 0
 * @example
 *   negativeBinomialDurations(20, { mean: 8, stages: 4 });
 * Source: Yu, "Hidden semi-Markov models", Artificial Intelligence 174 (2010), section 5.
 */
export function negativeBinomialDurations(longest: number, { mean, stages = 1 }: { readonly mean: number; readonly stages?: number }): DurationScores {
  const where = "negativeBinomialDurations";
  checkInteger(where, "longest", longest, 1, 0x7fffffff);
  if (!(mean > 1 && mean < Infinity)) throw rangeError(where, "mean", "finite and above 1", `${mean}`);
  if (!(stages > 0 && stages < Infinity)) throw rangeError(where, "stages", "finite and above 0", `${stages}`);
  const p = stages / (stages + mean - 1), durations = Float64Array.from({ length: longest }, (_, d) => logGamma(d + stages) - logGamma(d + 1) - logGamma(stages) + stages * log(p) + d * log1p(-p));
  // The mass from D on, over that of D: a geometric tail of ratio rho holds 1 / (1 - rho) of it.
  const beyond = longest === 1 ? 1 : regularizedBeta(1 - p, longest - 1, stages);
  return { durations: new Tensor("float32", [longest], Float32Array.from(durations)), tail: beyond > 1e-290 ? log1mExp(durations[longest - 1] - log(beyond)) : log1p(-p) };
}
