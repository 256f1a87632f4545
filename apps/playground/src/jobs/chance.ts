/**
 * Where the measured coverage of split-conformal sets lies in 95 of 100 draws of calibration rows and test rows, when the rows come from one source.
 *
 * Covered test rows ~ beta-binomial(m; k, n + 1 - k), k = ceil((n + 1)(1 - alpha)); ties and sets that were never empty only add.
 */
export function coverageByChance(calibrationRows: number, testRows: number, alpha: number): readonly [low: number, high: number] {
  const k = Math.ceil((calibrationRows + 1) * (1 - alpha) - 1e-9), a = k, b = calibrationRows + 1 - k, m = testRows;
  if (b <= 0) return [1, 1];
  // Ratios of neighbours from the middle outwards, so that nothing underflows.
  const weights = new Float64Array(m + 1), middle = Math.round((m * a) / (a + b));
  weights[middle] = 1;
  for (let j = middle; j < m; j++) weights[j + 1] = (weights[j] * (m - j) * (a + j)) / ((j + 1) * (b + m - j - 1));
  for (let j = middle; j > 0; j--) weights[j - 1] = (weights[j] * j * (b + m - j)) / ((m - j + 1) * (a + j - 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let low = 0, high = m;
  for (let sum = weights[0]; sum < 0.025 * total; sum += weights[++low]);
  for (let sum = weights[m]; sum < 0.025 * total; sum += weights[--high]);
  return [low / m, high / m];
}
