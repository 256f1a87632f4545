import { asFloat32, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import type { Estimate } from "./estimate.ts";
import { checkedLevel, finite, meanOf, type EstimateOptions } from "./regressionRows.ts";

/** Options of `pinballLoss`. */
export interface PinballLossOptions extends EstimateOptions {
  /** Which quantile is predicted, in (0, 1); or one for each column. */
  readonly quantile: number | readonly number[];
}

/** A pinball loss. */
export interface PinballLoss extends Estimate {
  /** float64 [Q]: the mean of each quantile; their mean is `value`. */
  readonly perQuantile: Float64Array;
}

/**
 * Pinball (check) loss of predicted quantiles. Lower is better, and the true quantile has the smallest mean.
 *
 *   (1 / N) sum_n max(q (y_n - x_n), (q - 1) (y_n - x_n)),   the mean over the quantiles
 *
 * The mean over quantiles (i - 1/2) / Q, twice, is the CRPS of the empirical distribution that has them.
 *
 * @param predicted - float32 or float64 [N], or float32 [N, Q] with one column for each quantile
 * @param targets - float32 or float64 [N]
 * @param options - `quantile` in (0, 1) or Q of them, `level` (0.95)
 * @returns `value` >= 0 in the units of the targets, `perQuantile`, `n`, `interval` (normal, from the loss of the rows), `level`, `convention`
 * @throws RangeError for no rows, another shape, a number that is not finite (the row is named), a quantile outside (0, 1)
 * @example
 *   pinballLoss([1], [3], { quantile: 0.9 }).value; // 1.8
 * Source: Koenker and Bassett, Econometrica 46 (1978).
 */
export function pinballLoss(predicted: TensorLike, targets: TensorLike, options: PinballLossOptions): PinballLoss {
  const where = "pinballLoss", level = checkedLevel(where, options.level), { quantile } = options;
  const y = finite(where, "targets", targets), n = y.length;
  const several = typeof quantile !== "number", quantiles = several ? quantile : [quantile], width = quantiles.length;
  for (const q of quantiles) if (!(q > 0 && q < 1)) throw rangeError(where, "quantile", "in (0, 1)", `${q}`);
  if (width === 0) throw rangeError(where, "quantile", "at least one", "none");
  const x = several ? columns(where, predicted, n, width) : finite(where, "predicted", predicted, n);
  const scores = new Float64Array(n), perQuantile = new Float64Array(width);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < width; k++) {
      const error = y[i] - x[i * width + k], loss = error >= 0 ? quantiles[k] * error : (quantiles[k] - 1) * error;
      scores[i] += loss / width;
      perQuantile[k] += loss / n;
    }
  }
  return { ...meanOf(scores, level, `pinball loss${several ? `, mean over ${width} quantiles` : ` of quantile ${quantile}`}, lower is better`), perQuantile };
}

function columns(where: string, predicted: TensorLike, n: number, width: number): Float32Array {
  const x = asFloat32(where, "predicted", predicted);
  checkShape(where, "predicted", x, ["N", "Q"]);
  if (x.shape[0] !== n || x.shape[1] !== width) throw rangeError(where, "predicted", `of shape [${n}, ${width}]`, `[${x.shape.join(", ")}]`);
  for (let i = 0; i < x.size; i++) if (x.data[i] - x.data[i] !== 0) throw rangeError(where, "predicted", "of finite numbers", `${x.data[i]} in row ${Math.floor(i / width)}, column ${i % width}`);
  return x.data;
}
