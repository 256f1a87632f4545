/** Similarities or distances of rows with rows, float64. */
export function matrixRef(z: ArrayLike<number>, features: number, measure: string): number[][] {
  const rows = Array.from({ length: z.length / features }, (_, i) => Array.from({ length: features }, (_, f) => z[i * features + f]));
  const dot = (a: number[], b: number[]): number => a.reduce((sum, x, f) => sum + x * b[f], 0);
  return rows.map((a) => rows.map((b) => {
    const square = a.reduce((sum, x, f) => sum + (x - b[f]) ** 2, 0);
    if (measure === "dot") return dot(a, b);
    if (measure === "cosine") return dot(a, b) / (Math.sqrt(dot(a, a) * dot(b, b)) || 1);
    return measure === "euclidean" ? Math.sqrt(square) : square;
  }));
}

export const lse = (x: number[]): number => {
  const top = Math.max(...x);
  return x.length === 0 || top === -Infinity ? -Infinity : top + Math.log(x.reduce((sum, v) => sum + Math.exp(v - top), 0));
};
export const softplusRef = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
export const mean = (x: number[]): number => (x.length === 0 ? 0 : x.reduce((a, b) => a + b, 0) / x.length);
