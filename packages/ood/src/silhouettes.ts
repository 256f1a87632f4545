import { matmul } from "@logits/core-wasm";
import { Tensor, type Steps } from "@logits/tensor";

/** Rows whose distances are looked at together. */
const ROWS = 256;

/** Labels of a division into `count` groups. */
export interface Division {
  readonly count: number;
  readonly labels: Int32Array;
}

/**
 * The silhouette of each row in each of several divisions, from one pass over the distances.
 *
 *   s(n) = (b - a) / max(a, b),    a = mean distance from the other rows of its group,    b = the least mean distance from the rows of another group
 *
 * 0 for a row alone in its group, and where a = b = 0. Distances are Euclidean, from float32 products of rows that are centred: within about 1e-6 of the square of the largest distance.
 *
 * Source: Rousseeuw, "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis", Journal of Computational and Applied Mathematics 20 (1987).
 */
export function* silhouettes(x: Tensor<"float32">, divisions: readonly Division[]): Steps<Float64Array[]> {
  const [n, width] = x.shape, centred = centredRows(x), squares = new Float64Array(n);
  for (let i = 0, at = 0; i < n; i++) for (const end = at + width; at < end; at++) squares[i] += centred.data[at] ** 2;
  const sizes = divisions.map(({ count, labels }) => {
    const out = new Float64Array(count);
    for (const label of labels) out[label]++;
    return out;
  });
  const out = divisions.map(() => new Float64Array(n)), distances = new Float64Array(n);
  for (let from = 0; from < n; from += ROWS) {
    const rows = Math.min(ROWS, n - from), products = matmul({ data: centred.data.subarray(from * width, (from + rows) * width), shape: [rows, width] }, centred, { transposeB: true }).data;
    for (let i = from; i < from + rows; i++) {
      for (let m = 0, at = (i - from) * n; m < n; m++, at++) distances[m] = m === i ? 0 : Math.sqrt(Math.max(0, squares[i] + squares[m] - 2 * products[at]));
      divisions.forEach(({ count, labels }, d) => {
        const sums = new Float64Array(count), own = labels[i];
        for (let m = 0; m < n; m++) sums[labels[m]] += distances[m];
        if (sizes[d][own] < 2) return;
        const a = sums[own] / (sizes[d][own] - 1);
        let b = Infinity;
        for (let k = 0; k < count; k++) if (k !== own && sizes[d][k] > 0) b = Math.min(b, sums[k] / sizes[d][k]);
        if (b < Infinity && Math.max(a, b) > 0) out[d][i] = (b - a) / Math.max(a, b);
      });
    }
    yield (from + rows) / n;
  }
  return out;
}

/** Rows less their mean. */
export function centredRows({ data, shape: [n, width] }: Tensor<"float32">): Tensor<"float32"> {
  const mean = new Float64Array(width), out = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) mean[i % width] += data[i] / n;
  for (let i = 0; i < data.length; i++) out[i] = data[i] - mean[i % width];
  return new Tensor("float32", [n, width], out);
}
