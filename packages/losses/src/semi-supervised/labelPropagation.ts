import { nearestNeighbors } from "@logits/core-wasm";
import { log } from "@logits/statistics";
import { ConvergenceError, Tensor, asFloat32, asInt32, checkInteger, checkLabels, checkNoNaN, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { checkShare } from "../range.ts";

/** Options of `labelPropagation`. */
export interface LabelPropagationOptions {
  /** C. Default: the largest label + 1. */
  readonly classes?: number;
  /** Edges of each row, to the nearest others; at least 1. Default 10. */
  readonly neighbors?: number;
  /** How far labels travel, in [0, 1). Default 0.99. */
  readonly alpha?: number;
  /** Edges weigh max(cosine, 0) to this power, a positive integer. Default 3. */
  readonly power?: number;
  /** The label of rows without one. Default -1. */
  readonly unlabelled?: number;
}

/** Labels of all rows. */
export interface PropagatedLabels {
  /** float32 [N, C], rows that sum to 1; uniform where no label reaches a row. */
  readonly probabilities: Tensor<"float32">;
  /** int32 [N]; the smallest class at equal ones. */
  readonly labels: Tensor<"int32">;
  /** float32 [N], 1 - entropy / log C, in [0, 1]: a trust for `pseudoLabelLoss`. */
  readonly certainty: Tensor<"float32">;
}

const ITERATIONS = 1000, TOLERANCE = 1e-7;

/**
 * Labels that spread over the graph of nearest neighbours.
 *
 *   (I - alpha S) F = Y,   S = D^(-1/2) W D^(-1/2),   W[i, j] = max(cos(x[i], x[j]), 0)^power where j is near i or i near j;   p = F / rows' sums
 *
 * @param features - float32 [N, F], without rows of zeros
 * @param labels - int32 [N], in [0, C) or `unlabelled`
 * @param options - `classes`, `neighbors` (10), `alpha` (0.99), `power` (3), `unlabelled` (-1)
 * @returns probabilities, labels and certainties of all N rows; a labelled row among rows of another label may be answered with that
 * @throws RangeError for another shape, a row of zeros or with NaN, no labelled row; ConvergenceError where 1,000 steps of conjugate gradients do not reach 1e-7
 * @example
 *   const { labels, certainty } = labelPropagation([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], [0, -1, 1, -1], { neighbors: 1 }); // 0, 0, 1, 1
 * Source: Zhou et al., "Learning with local and global consistency", NIPS 2003; graph and certainty: Iscen, Tolias, Avrithis, Chum, "Label propagation for deep semi-supervised learning", CVPR 2019 (arXiv:1904.04717).
 */
export function labelPropagation(features: TensorLike, labels: TensorLike, { classes, neighbors = 10, alpha = 0.99, power = 3, unlabelled = -1 }: LabelPropagationOptions = {}): PropagatedLabels {
  const where = "labelPropagation", x = asFloat32(where, "features", features), y = asInt32(where, "labels", labels);
  checkShape(where, "features", x, ["N", "F"]);
  const [N, F] = x.shape;
  if (y.size !== N) throw rangeError(where, "labels", `of shape [${N}]`, `[${y.shape.join(", ")}]`);
  checkNoNaN(where, "features", x, F);
  checkInteger(where, "neighbors", neighbors, 1, 2147483647);
  checkInteger(where, "power", power, 1, 64);
  checkShare(where, "alpha", alpha);
  if (y.data.every((label) => label === unlabelled)) throw rangeError(where, "labels", "with at least one label", "none");
  const C = classes ?? y.data.reduce((most, label) => (label === unlabelled ? most : Math.max(most, label + 1)), 0);
  checkInteger(where, "classes", C, 1, 2147483647);
  checkLabels(where, "labels", y, C, unlabelled);
  const rows = graph(where, x.data, N, F, Math.min(neighbors, N - 1), power), out = new Float64Array(N * C);
  for (let c = 0; c < C; c++) {
    const f = solved(where, rows, Float64Array.from(y.data, (label) => Number(label === c)), alpha);
    for (let i = 0; i < N; i++) out[i * C + c] = Math.max(f[i], 0);
  }
  const probabilities = new Float32Array(N * C), answers = new Int32Array(N), certainty = new Float32Array(N);
  for (let i = 0; i < N; i++) {
    const row = out.subarray(i * C, (i + 1) * C), sum = row.reduce((a, b) => a + b, 0);
    let best = 0, entropy = 0;
    for (let c = 0; c < C; c++) {
      const p = sum > 0 ? row[c] / sum : 1 / C;
      probabilities[i * C + c] = p;
      if (row[c] > row[best]) best = c;
      if (p > 0) entropy -= p * log(p);
    }
    answers[i] = best;
    certainty[i] = C === 1 ? 1 : Math.max(0, 1 - entropy / log(C));
  }
  return { probabilities: new Tensor("float32", [N, C], probabilities), labels: new Tensor("int32", [N], answers), certainty: new Tensor("float32", [N], certainty) };
}

/** The edges of each row, symmetric and normalised. */
type Graph = readonly ReadonlyMap<number, number>[];

function graph(where: string, data: Float32Array, N: number, F: number, k: number, power: number): Graph {
  const unit = new Float32Array(N * F), edges = Array.from({ length: N }, () => new Map<number, number>());
  for (let i = 0; i < N; i++) {
    let square = 0;
    for (let f = i * F; f < (i + 1) * F; f++) square += data[f] * data[f];
    if (!(square > 0 && square < Infinity)) throw rangeError(where, "features", "rows of finite length that is not 0", `length ${Math.sqrt(square)} in row ${i}`);
    for (let f = i * F; f < (i + 1) * F; f++) unit[f] = data[f] / Math.sqrt(square);
  }
  if (k === 0) return edges;
  // On the unit sphere the nearest are those of the largest cosine, 1 - distance / 2. One more than k: a row is near itself.
  const { distances, indices } = nearestNeighbors(new Tensor("float32", [N, F], unit), new Tensor("float32", [N, F], unit), k + 1);
  for (let i = 0; i < N; i++) {
    for (let j = 0, used = 0; j <= k && used < k; j++) {
      const other = indices.data[i * (k + 1) + j];
      if (other === i) continue;
      used++;
      const cosine = Math.max(0, 1 - distances.data[i * (k + 1) + j] / 2);
      let weight = 1;
      for (let p = 0; p < power; p++) weight *= cosine;
      if (weight === 0) continue;
      edges[i].set(other, weight);
      edges[other].set(i, weight);
    }
  }
  const scale = edges.map((row) => 1 / Math.sqrt([...row.values()].reduce((a, b) => a + b, 0)));
  return edges.map((row, i) => new Map([...row].map(([j, w]) => [j, w * scale[i] * scale[j]])));
}

/** (I - alpha S) f = y by conjugate gradients; the matrix is positive definite. */
function solved(where: string, rows: Graph, y: Float64Array, alpha: number): Float64Array {
  const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, v, i) => sum + v * b[i], 0), target = TOLERANCE * Math.sqrt(dot(y, y));
  const times = (v: Float64Array): Float64Array => v.map((own, i) => { let near = 0; for (const [j, w] of rows[i]) near += w * v[j]; return own - alpha * near; });
  const f = new Float64Array(y.length), r = y.slice();
  let d = y.slice(), square = dot(r, r);
  for (let step = 0; Math.sqrt(square) > target; step++) {
    if (step === ITERATIONS) throw new ConvergenceError(`${where}: expected an answer within ${ITERATIONS} steps, got a residual of ${Math.sqrt(square)}. Take a smaller alpha`, ITERATIONS, Math.sqrt(square));
    const image = times(d), length = square / dot(d, image);
    for (let i = 0; i < f.length; i++) {
      f[i] += length * d[i];
      r[i] -= length * image[i];
    }
    const next = dot(r, r), turn = next / square;
    d = d.map((v, i) => r[i] + turn * v);
    square = next;
  }
  return f;
}
