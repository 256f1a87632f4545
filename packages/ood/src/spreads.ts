import { rangeError } from "@logits/tensor";

/** Variance of a feature that never varied, as a share of the median variance of the others. */
const DEAD_SHARE = 1e-6;
/** A spread below this share of a feature's size is the rounding of float32. */
const ROUNDING = 2 ** -23;

/**
 * Standard deviation of each feature from a diagonal of sums of squares, and which never varied: those get a millionth of the median variance of the others.
 *
 * @param sums - sum of squared deviations of feature j at j * stride
 * @param size - mean square of each feature's class mean, [F]
 */
export function spreads(where: string, sums: Float64Array, stride: number, size: Float64Array, count: number): { scales: Float64Array; dead: Uint8Array } {
  const variances = Float64Array.from(size, (_, j) => sums[j * stride] / count);
  const dead = Uint8Array.from(variances, (variance, j) => (variance > ROUNDING ** 2 * size[j] ? 0 : 1));
  if (!variances.every((variance) => variance < Infinity)) throw unscaled(where, variances.map((variance) => Math.sqrt(variance)));
  const living = variances.filter((_, j) => dead[j] === 0).sort();
  if (living.length === 0) throw rangeError(where, "features", "that vary within a class", `${count} rows that equal their class means`);
  const floor = DEAD_SHARE * living[living.length >> 1];
  return { scales: variances.map((variance, j) => Math.sqrt(dead[j] ? floor : variance)), dead };
}

/** The error for features that float32 cannot hold once they are squared or divided. */
export function unscaled(where: string, scales: Float64Array): RangeError {
  const [least, most] = [Math.min, Math.max].map((pick) => scales.reduce((a, b) => pick(a, b)));
  return rangeError(where, "features", "of a scale that float32 can square and divide by", `standard deviations from ${least} to ${most}`, "Rescale the features");
}
