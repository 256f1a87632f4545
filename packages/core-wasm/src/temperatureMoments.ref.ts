/** loss, derivative and second derivative by beta of one row, in float64. */
export function temperatureMomentsRef(x: ArrayLike<number>, label: number, beta: number): [number, number, number] {
  const top = Math.max(...Array.from(x));
  const e = Array.from(x, (z) => Math.exp(beta * (z - top)));
  const total = e.reduce((a, b) => a + b, 0);
  const mean = e.reduce((sum, p, c) => (p > 0 ? sum + (p / total) * x[c] : sum), 0);
  const variance = e.reduce((sum, p, c) => (p > 0 ? sum + (p / total) * (x[c] - mean) ** 2 : sum), 0);
  return [Math.log(total) + beta * (top - x[label]), mean - x[label], variance];
}
