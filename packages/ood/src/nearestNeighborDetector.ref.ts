/** The k-th smallest distance of one row to the rows of a bank, in float64; rows divided by their lengths where `unit` says so. */
export function nearestNeighborDetectorRef(bank: readonly number[][], row: readonly number[], k: number, unit: boolean): number {
  const prepared = (x: readonly number[]): readonly number[] => (unit && x.some((v) => v !== 0) ? x.map((v) => v / Math.hypot(...x)) : x);
  const query = prepared(row);
  return bank.map((other) => Math.hypot(...prepared(other).map((v, j) => v - query[j]))).sort((a, b) => a - b)[k - 1];
}
