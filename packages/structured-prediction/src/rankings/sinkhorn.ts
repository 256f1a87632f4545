import { exp, log } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, checkPositive, checkShape, rangeError, type TensorLike } from "@logits/tensor";

/** Options of `sinkhorn`. */
export interface SinkhornOptions {
  /** How sharp the plan is. Default 1. */
  readonly temperature?: number;
  /** float32 [N], masses of the rows. Default 1 / N each. */
  readonly rows?: TensorLike;
  /** float32 [M], masses of the columns, with the same sum. Default 1 / M each. */
  readonly columns?: TensorLike;
  /** Steps at most. Default 1,000. */
  readonly maxIterations?: number;
  /** Largest error of a row's mass. Default 1e-6 of the whole. */
  readonly tolerance?: number;
}

/** A plan with given masses of rows and columns. */
export interface SinkhornPlan {
  /** float32 [N, M]; it sums to the masses. */
  readonly plan: Tensor<"float32">;
  /** sum plan scores - temperature sum plan (log plan - 1): its gradient by the scores is the plan. */
  readonly value: number;
  readonly iterations: number;
  /** Sum of the errors of the rows' masses. Above the tolerance where the steps did not suffice. */
  readonly residual: number;
}

/**
 * Entropic optimal transport: a Gibbs distribution over pairs with given marginals, in the log domain.
 *
 *   plan[i, j] = exp((scores[i, j] + f[i] + g[j]) / T),   rows sum to a, columns to b
 *
 * As T falls it approaches an assignment. A hard one: `assignment`.
 *
 * @param scores - float32 [N, M]: minus a cost; -Infinity = a pair that cannot be
 * @param options - `temperature` (1), `rows`, `columns`, `maxIterations` (1,000), `tolerance` (1e-6)
 * @returns the plan, its value, steps and residual
 * @throws RangeError for another shape, NaN or +Infinity, masses that are negative or of different sums, a row or column with mass and without a possible pair
 * @example
 *   sinkhorn([[1, 0], [0, 1]], { temperature: 0.1 }).plan; // nearly 0.5 on the diagonal
 * Source: Cuturi, "Sinkhorn distances", NIPS 2013 (arXiv:1306.0895); log domain: Peyre, Cuturi, "Computational optimal transport", 2019, section 4.4.
 */
export function sinkhorn(scores: TensorLike, { temperature = 1, rows, columns, maxIterations = 1000, tolerance = 1e-6 }: SinkhornOptions = {}): SinkhornPlan {
  const where = "sinkhorn", s = asFloat32(where, "scores", scores);
  checkShape(where, "scores", s, ["N", "M"]);
  const [N, M] = s.shape;
  if (N === 0 || M === 0) throw rangeError(where, "scores", "with at least one row and column", `[${N}, ${M}]`);
  const bad = s.data.findIndex((x) => !(x < Infinity));
  if (bad >= 0) throw rangeError(where, "scores", "finite, or -Infinity for pairs that cannot be", `${s.data[bad]} at index ${bad}`);
  checkPositive(where, "temperature", temperature);
  checkPositive(where, "tolerance", tolerance);
  checkInteger(where, "maxIterations", maxIterations, 1, 2147483647);
  const a = masses(where, "rows", rows, N), b = masses(where, "columns", columns, M), mass = a.reduce((x, y) => x + y, 0);
  if (Math.abs(mass - b.reduce((x, y) => x + y, 0)) > 1e-5 * mass) throw rangeError(where, "columns", `masses with the sum ${mass} of the rows`, `${b.reduce((x, y) => x + y, 0)}`);
  // Over T from here on.
  const z = Float64Array.from(s.data, (x) => x / temperature), logA = a.map((x) => log(x)), logB = b.map((x) => log(x)), f = new Float64Array(N), g = new Float64Array(M);
  const sum = (count: number, at: (k: number) => number): number => {
    let top = -Infinity, total = 0;
    for (let k = 0; k < count; k++) top = Math.max(top, at(k));
    if (top === -Infinity) return top;
    for (let k = 0; k < count; k++) total += exp(at(k) - top);
    return top + log(total);
  };
  const fit = (argument: string, target: number, own: number, at: number): number => {
    if (target === -Infinity) return -Infinity;
    if (own === -Infinity) throw rangeError(where, argument, "mass only where a pair is possible", `mass ${exp(target)} at index ${at}`);
    return target - own;
  };
  let iterations = 0, residual = Infinity;
  for (; iterations < maxIterations && residual > tolerance * mass; iterations++) {
    for (let i = 0; i < N; i++) f[i] = fit("rows", logA[i], sum(M, (j) => z[i * M + j] + g[j]), i);
    for (let j = 0; j < M; j++) g[j] = fit("columns", logB[j], sum(N, (i) => z[i * M + j] + f[i]), j);
    residual = 0;
    for (let i = 0; i < N; i++) residual += f[i] === -Infinity ? 0 : Math.abs(exp(f[i] + sum(M, (j) => z[i * M + j] + g[j])) - a[i]);
  }
  const plan = new Float32Array(N * M);
  let value = 0;
  for (let i = 0; i < N; i++) for (let j = 0; j < M; j++) {
    const l = z[i * M + j] + f[i] + g[j];
    if (l === -Infinity) continue;
    const p = exp(l);
    plan[i * M + j] = p;
    value += temperature * p * (z[i * M + j] - l + 1);
  }
  return { plan: new Tensor("float32", [N, M], plan), value, iterations, residual };
}

function masses(where: string, argument: string, given: TensorLike | undefined, count: number): Float64Array {
  if (given === undefined) return new Float64Array(count).fill(1 / count);
  const { data, shape } = asFloat32(where, argument, given), bad = data.findIndex((x) => !(x >= 0 && x < Infinity));
  if (data.length !== count) throw rangeError(where, argument, `of shape [${count}]`, `[${shape.join(", ")}]`);
  if (bad >= 0) throw rangeError(where, argument, "finite and not negative", `${data[bad]} at index ${bad}`);
  if (data.every((x) => x === 0)) throw rangeError(where, argument, "with some mass", "none");
  return Float64Array.from(data);
}
