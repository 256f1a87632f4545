import { checkInteger } from "@logits/tensor";
import type { CheckedConfidences } from "./confidences.ts";

/** The rule of every binning here. */
export const CONVENTION = "top label, equal width, bins (low, high], 0 in the first";

/** Sums per bin in float64. */
export interface BinSums {
  readonly count: Int32Array;
  readonly confidence: Float64Array;
  readonly correct: Int32Array;
  /** Bin of each row. */
  readonly index: Int32Array;
}

/** The bin b with b / B < c <= (b + 1) / B, edges in float64; c = 0 in the first, c above 1 by rounding in the last. */
export function binSums(where: string, { confidence, correct }: CheckedConfidences, bins: number): BinSums {
  checkInteger(where, "bins", bins, 1, 1000000);
  const sums = { count: new Int32Array(bins), confidence: new Float64Array(bins), correct: new Int32Array(bins), index: new Int32Array(confidence.length) };
  for (let i = 0; i < confidence.length; i++) {
    const c = confidence[i];
    let b = Math.min(bins - 1, Math.max(0, Math.ceil(c * bins) - 1));
    // The product is rounded: 0.07 * 100 is above 7, though 0.07 is the edge 7 / 100.
    if (b > 0 && c <= b / bins) b--;
    else if (b < bins - 1 && c > (b + 1) / bins) b++;
    sums.index[i] = b;
    sums.count[b]++;
    sums.confidence[b] += confidence[i];
    sums.correct[b] += correct[i];
  }
  return sums;
}
