import { benjaminiHochberg } from "@logits/statistics";
import { Tensor, describe, rangeError, typeError, type TensorLike } from "@logits/tensor";
import { ConformalPValues } from "./conformalPValues.ts";

/** Options of `discoveries`. */
export interface DiscoveryOptions {
  /** q in (0, 1): the promised mean share of rows like the calibration rows among those that are flagged. Default 0.1. */
  readonly maxFalseDiscoveryRate?: number;
}

/** Which rows of a batch are called outliers. */
export interface Discoveries {
  /** uint8 [N]: 1 = an outlier. */
  readonly flagged: Tensor<"uint8">;
  /** float64 [N]. */
  readonly pValues: Float64Array;
  /** float64 [N]: the smallest q at which the row would be flagged. */
  readonly adjusted: Float64Array;
  readonly maxFalseDiscoveryRate: number;
}

/**
 * The outliers of a batch: rows like the calibration rows are at most a share q of those that are flagged, in the mean over calibrations and batches.
 *
 *   p_i = p-value of score i;   flagged where min over j with p_j >= p_i of N p_j / #{k : p_k <= p_j} is at most q       (Benjamini and Hochberg)
 *
 * A `Threshold` promises a share of all rows like the calibration rows instead: this one is stricter where outliers are few, and laxer where they are many. With n calibration rows no p-value is below 1 / (n + 1), so of N
 * rows at least N / (q (n + 1)) are flagged, or none. The rows must be independent of each other and of the calibration rows.
 *
 * @param calibration - scores of calibration rows
 * @param scores - float32 [N]
 * @param options - `maxFalseDiscoveryRate` (0.1)
 * @throws RangeError for another shape, a NaN (its row is named), a rate outside (0, 1); TypeError where `calibration` is no `ConformalPValues`
 * @example
 *   discoveries(ConformalPValues.fit([1, 2, 3, 4, 5, 6, 7, 8, 9]), [10, 11, 2], { maxFalseDiscoveryRate: 0.2 }).flagged; // 1, 1, 0
 * Source: Benjamini and Hochberg, JRSS B 57 (1995); Bates, Candes, Lei, Romano, Sesia, "Testing for outliers with conformal p-values", Annals of Statistics 51 (2023).
 */
export function discoveries(calibration: ConformalPValues, scores: TensorLike, options: DiscoveryOptions = {}): Discoveries {
  const where = "discoveries", { maxFalseDiscoveryRate = 0.1 } = options;
  if (!(calibration instanceof ConformalPValues)) throw typeError(where, "calibration", "a ConformalPValues", describe(calibration));
  if (!(maxFalseDiscoveryRate > 0 && maxFalseDiscoveryRate < 1)) throw rangeError(where, "maxFalseDiscoveryRate", "in (0, 1)", `${maxFalseDiscoveryRate}`);
  const pValues = calibration.pValues(scores), adjusted = benjaminiHochberg(pValues);
  return { flagged: new Tensor("uint8", [pValues.length], Uint8Array.from(adjusted, (q) => Number(q <= maxFalseDiscoveryRate))), pValues, adjusted, maxFalseDiscoveryRate };
}
