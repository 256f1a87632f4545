import { exp } from "@logits/statistics";
import { checkInteger, rangeError } from "@logits/tensor";
import type { PositionBias } from "./positionBias.ts";

/** Options of receptiveField. */
export interface ReceptiveFieldOptions {
  /** 1 - epsilon of the paper, in (0, 1). Default 0.99. */
  readonly share?: number;
  /** Distances that are summed one by one, 4 to 2^24. Default 65,536. */
  readonly length?: number;
}

/** What receptiveField returns, float64 [H] each. */
export interface ReceptiveField {
  /** The smallest n whose n nearest keys have the share; Infinity where it lies beyond `length` or the sum diverges. */
  readonly field: Float64Array;
  /** Sum of exp(bias) over all distances; Infinity where it diverges. */
  readonly total: Float64Array;
  /** Sum over the last half of `length` over that of the quarter before: below 1 the sum converges. Where it is just below, the total is rough, and within about 1 / length of 1 the sum may as well diverge. */
  readonly octaveRatio: Float64Array;
}

/**
 * How far a bias by distance lets a causal query look where all scores are equal, and whether that is bounded at all: the theoretical receptive field.
 *
 *   field[h] = min { n : sum_{d < n} exp(b[h](d)) >= share sum_{d >= 0} exp(b[h](d)) }
 *
 * The sum converges for `alibi`, for `kerple` "power", and for "logarithmic" with a scale above 1; then what lies far behind counts for little however long the text, and the paper finds that such models keep their
 * perplexity on longer texts. It says nothing about finding what is far: see the page on length.
 *
 * @param bias - alibi, kerple, t5Bias or your own, falling or constant for large distances
 * @param options - share, length
 * @returns field, total and octaveRatio for each head. Beyond `length` the sum is continued with the ratio of its last octaves: exact in the limit for powers, 0 for what falls faster
 * @throws RangeError for options out of range
 * @example
 *   receptiveField(kerple("logarithmic", [2], [1])).total[0]; // 1.6449..., pi^2 / 6
 * Source: Qin, Zhong, Deng, "Exploring Transformer Extrapolation", AAAI 2024.
 */
export function receptiveField(bias: PositionBias, options: ReceptiveFieldOptions = {}): ReceptiveField {
  const where = "receptiveField", { share = 0.99, length = 65536 } = options, { heads } = bias;
  if (!(share > 0 && share < 1)) throw rangeError(where, "share", "in (0, 1)", `${share}`);
  checkInteger(where, "length", length, 4, 16777216);
  const field = new Float64Array(heads), total = new Float64Array(heads), octaveRatio = new Float64Array(heads), sums = new Float64Array(length + 1), half = Math.floor(length / 2), quarter = Math.floor(half / 2);
  for (let h = 0; h < heads; h++) {
    let last = 0, before = 0;
    for (let d = 0; d < length; d++) {
      const weight = exp(bias.value(h, d));
      sums[d + 1] = sums[d] + weight;
      if (d >= half) last += weight;
      else if (d >= quarter) before += weight;
    }
    const ratio = last === 0 ? 0 : last / before;
    octaveRatio[h] = ratio;
    total[h] = ratio < 1 ? sums[length] + (last * ratio) / (1 - ratio) : ratio >= 1 ? Infinity : NaN;
    const least = share * total[h], n = sums.findIndex((sum) => sum >= least);
    field[h] = total[h] !== total[h] ? NaN : n < 0 ? Infinity : n;
  }
  return { field, total, octaveRatio };
}
