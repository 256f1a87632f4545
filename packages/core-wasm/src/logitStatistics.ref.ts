/** The statistics of one row in float64, in the order of the kernel; the probability of the others without 1 - p. */
export function logitStatisticsRef(x: Float64Array, temperature = 1, gamma = 0.1, top = 100): Float64Array {
  const order = Array.from(x).sort((a, b) => b - a);
  const d = order.slice(1).map((v) => (v - order[0]) / temperature);
  const others = d.reduce((sum, v) => sum + Math.exp(v), 0);
  const moment = d.reduce((sum, v) => (v === -Infinity ? sum : sum - v * Math.exp(v)), 0);
  const z = 1 + others, p = [1, ...d.map((v) => Math.exp(v))].map((v) => v / z);
  const uniform = p.reduce((sum, q) => sum + Math.abs(x.length * q - 1), 0), complements = d.reduce((sum, v) => sum + Math.expm1(v), 0);
  const generalized = p.slice(0, top).reduce((sum, q, i) => sum + (q * (i > 0 ? 1 - q : others / z)) ** gamma, 0);
  const energy = -(order[0] + temperature * Math.log1p(others));
  return Float64Array.of(1 / (1 + others), others / (1 + others), order[0], energy, Math.log1p(others) + moment / (1 + others), order[0] - (order[1] ?? -Infinity), x.indexOf(order[0]), temperature * -Math.log1p(complements / x.length), uniform, generalized);
}
