import { testRandom } from "@logits/testkit";

/** Logits with labels drawn from the softmax of `map(row)`. */
export function planted(rows: number, classes: number, seed: number, map: (row: number[]) => number[], scale: number): { z: { dtype: "float32"; shape: number[]; data: Float32Array }; y: Int32Array } {
  const random = testRandom(seed);
  const data = Float32Array.from({ length: rows * classes }, () => scale * random.normal());
  const y = Int32Array.from({ length: rows }, (_, n) => {
    const weights = map(Array.from(data.subarray(n * classes, (n + 1) * classes))).map(Math.exp);
    let u = random.uniform() * weights.reduce((a, b) => a + b);
    const at = weights.findIndex((w) => (u -= w) < 0);
    return at < 0 ? classes - 1 : at;
  });
  return { z: { dtype: "float32", shape: [rows, classes], data }, y };
}

/** Standard errors of a maximum-likelihood estimate: the inverse of N times the Hessian of the mean loss, by differences. */
export function standardErrors(loss: (x: Float64Array) => number, at: Float64Array, n: number, step: number): number[] {
  const p = at.length;
  const moved = (i: number, a: number, j: number, b: number): number => loss(at.map((x, k) => x + (k === i ? a : 0) + (k === j ? b : 0)));
  const rows = Array.from({ length: p }, (_, i) => Array.from({ length: p }, (_, j) => (moved(i, step, j, step) - moved(i, step, j, -step) - moved(i, -step, j, step) + moved(i, -step, j, -step)) / (4 * step * step)));
  const inverse = rows.map((_, i) => rows.map((_, j) => (i === j ? 1 : 0)));
  for (let i = 0; i < p; i++) {
    const pivot = rows[i][i];
    for (let j = 0; j < p; j++) { rows[i][j] /= pivot; inverse[i][j] /= pivot; }
    for (let k = 0; k < p; k++) if (k !== i) {
      const factor = rows[k][i];
      for (let j = 0; j < p; j++) { rows[k][j] -= factor * rows[i][j]; inverse[k][j] -= factor * inverse[i][j]; }
    }
  }
  return inverse.map((row, i) => Math.sqrt(row[i] / n));
}
