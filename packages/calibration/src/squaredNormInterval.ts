import { normalQuantile } from "@logits/statistics";

/**
 * Interval for a squared norm t = |mu|^2 from the unbiased d = |mu + Z|^2 - E|Z|^2, Z normal: all t >= 0 with (d - t)^2 <= z^2 (4 t m + 2 K).
 *
 * @param m - bound of the variance of Z in any direction, the largest eigenvalue of its covariance
 * @param k - sum of the squared eigenvalues: 2 K is the variance of |Z|^2
 */
export function squaredNormInterval(d: number, m: number, k: number, level: number): readonly [low: number, high: number] {
  const z2 = normalQuantile((1 + level) / 2) ** 2, middle = d + 2 * z2 * m;
  const root = Math.sqrt(Math.max(0, middle * middle - d * d + 2 * z2 * k));
  return [Math.max(0, middle - root), Math.max(0, middle + root)];
}
