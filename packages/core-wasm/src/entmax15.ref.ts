/** max(z - tau, 0)^2 of half the scores, tau by bisection of the sum: it decreases in tau, is at least 1 at -1 and 0 at 0. */
export function entmax15Ref(x: Float64Array, temperature = 1): Float64Array {
  const top = x.reduce((a, b) => (a > b || a !== a ? a : b), -Infinity);
  if (top - top !== 0) return x.map(() => NaN);
  const z = x.map((v) => (v - top) / temperature / 2);
  const at = (tau: number): Float64Array => z.map((v) => Math.max(v - tau, 0) ** 2);
  let low = -1, high = 0;
  for (let i = 0; i < 60; i++) [low, high] = at((low + high) / 2).reduce((a, b) => a + b) >= 1 ? [(low + high) / 2, high] : [low, (low + high) / 2];
  return at(low);
}
