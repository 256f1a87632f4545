/** (2 + q)^(d z_c) / sum of them, of one row in float64. */
export function sdmActivationRef(z: ArrayLike<number>, q: number, d: number): number[] {
  const row = Array.from(z), top = Math.max(...row), powers = row.map((x) => (x === -Infinity ? 0 : (2 + q) ** (d * (x - top))));
  return powers.map((power) => power / powers.reduce((sum, x) => sum + x, 0));
}

/** -log_(2 + q) of the label's probability, of one row in float64. */
export function sdmLossRef(z: ArrayLike<number>, label: number, q: number, d: number): number {
  const row = Array.from(z), top = Math.max(...row), sum = row.reduce((total, x) => total + (2 + q) ** (d * (x - top)), 0);
  return Math.log(sum) / Math.log(2 + q) - d * (row[label] - top);
}
