/** max(z - tau, 0), tau from the sorted prefix whose last element is still above it (Martins and Astudillo 2016, algorithm 1). */
export function sparsemaxRef(x: Float64Array, temperature = 1): Float64Array {
  const top = x.reduce((a, b) => (a > b || a !== a ? a : b), -Infinity);
  if (top - top !== 0) return x.map(() => NaN);
  const z = x.map((v) => (v - top) / temperature);
  let sum = 0, tau = 0;
  z.slice().sort().reverse().forEach((v, i) => (1 + (i + 1) * v > sum + v ? (tau = ((sum += v) - 1) / (i + 1)) : 0));
  return z.map((v) => Math.max(v - tau, 0));
}
