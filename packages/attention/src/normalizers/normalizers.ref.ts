/** Weights of one row of scores, all of keys that are seen, in float64; thresholds by bisection, sums as they stand. */
export function rowRef(scores: readonly number[], name: string, power: number): number[] {
  const n = scores.length, top = Math.max(...scores), share = (x: number[]): number[] => x.map((y) => y / x.reduce((a, b) => a + b, 0));
  const threshold = (exponent: number, scale: number): number[] => {
    let [low, high] = [scale * top - 1, scale * top];
    for (let step = 0; step < 100; step++) if (scores.reduce((sum, s) => sum + Math.max(scale * s - (low + high) / 2, 0) ** exponent, 0) > 1) low = (low + high) / 2; else high = (low + high) / 2;
    return scores.map((s) => Math.max(scale * s - low, 0) ** exponent);
  };
  if (name === "sparsemax" || name === "entmax15") return name === "sparsemax" ? threshold(1, 1) : threshold(2, 0.5);
  if (name === "softmax" || name === "relu") return name === "relu" ? scores.map((s) => Math.max(s, 0) / n) : share(scores.map((s) => Math.exp(s - top)));
  const plain = share(scores.map((s) => Math.log1p(Math.exp(s * Math.log(n)))));
  return name === "softplus" ? plain : share(plain.map((a) => Math.max(n * a - (n > 3 ? 1 : 0), 0) ** power));
}
