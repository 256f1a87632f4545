import { core } from "@logits/core-wasm";
import { logit, sigmoid, softplus } from "@logits/statistics";
import { Tensor, asFloat32, asMask, checkPositive, defineLoss, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { decoupledRow } from "../pairs/rows.ts";
import { floats, shaped } from "../shaped.ts";

/** Options of `softTopK`. */
export interface SoftTopKOptions {
  /** How sharp, above 0: the larger, the nearer to the mask of the k largest. Default 1. */
  readonly alpha?: number;
}

/** Options of `softTopKLoss`. */
export interface SoftTopKLossOptions extends LossOptions, SoftTopKOptions {
  /** How many documents are retrieved, in (0, C). */
  readonly k: number;
}

/** A loss of logits [B, C] and a set of relevant classes for each row, uint8 [B, C]. */
export type SetLoss<Options extends LossOptions = LossOptions> = Loss<[logits: TensorLike, targets: TensorLike], Options>;

function setLoss<Options extends LossOptions>(name: string, plan: (options: Options, classes: number, where: string) => (z: Float32Array, set: Uint8Array, grad: Float32Array | undefined, coefficient: number, row: number) => number): SetLoss<Options> {
  return defineLoss(name, 2, (where, [logits, targets]: [TensorLike, TensorLike], options: Options) => {
    const z = asFloat32(where, "logits", logits);
    if (z.shape.length !== 2 || z.shape[1] === 0) throw rangeError(where, "logits", "of shape [B, C] with at least one class", `[${z.shape.join(", ")}]`);
    const [rows, classes] = z.shape, t = shaped(where, "targets", asMask(where, "targets", targets), z.shape);
    const share = rowWeights(where, rows, options), set = (i: number): Uint8Array => t.data.subarray(i * classes, (i + 1) * classes), row = plan(options, classes, where);
    const weights = Float32Array.from({ length: rows }, (_, i) => (set(i).includes(1) ? (share ? share[i] : 1) : 0));
    return {
      shape: [rows],
      weights,
      pass(coefficients) {
        const values = new Float64Array(rows), grad = coefficients && new Float32Array(z.size);
        for (let i = 0; i < rows; i++) {
          if (weights[i] > 0) values[i] = row(z.data.subarray(i * classes, (i + 1) * classes), set(i), grad?.subarray(i * classes, (i + 1) * classes), coefficients?.[i] ?? 0, i);
        }
        return { values, gradients: () => ({ grad: new Tensor("float32", z.shape, grad!) }) };
      },
    };
  });
}

/**
 * Decoupled softmax for many relevant classes: each is held against the irrelevant ones alone, so that one relevant class does not push down another.
 *
 *   loss[b] = 1/|P| sum_{p in P} -log exp(z_p) / (exp(z_p) + sum_{n not in P} exp(z_n))
 *
 * @param logits - float32 [B, C]; -Infinity = impossible
 * @param targets - uint8 [B, C], 1 = relevant
 * @param options - `reduction` over rows, `weight`, `where` [B]
 * @returns float32 [B] ("none") or []; `grad` [B, C]. A row without a relevant class has the value 0 and is left out of the mean; without an irrelevant one 0. One relevant class: cross-entropy
 * @throws RangeError for other shapes, targets that are not 0 and 1
 * @example
 *   decoupledSoftmaxLoss([[2, 2, 0]], [[1, 1, 0]]); // log(1 + exp(-2))
 * Source: Gupta et al., "Dual-Encoders for Extreme Multi-Label Classification", ICLR 2024, equation 4.
 */
export const decoupledSoftmaxLoss: SetLoss = /* @__PURE__ */ setLoss("decoupledSoftmaxLoss", (_, classes) => {
  const kind = new Int8Array(classes);
  return (z, set, grad, coefficient) => {
    const row = core.alloc([classes]);
    try {
      const s = row.data;
      s.set(z);
      for (let j = 0; j < classes; j++) kind[j] = set[j] === 1 ? 1 : -1;
      const value = decoupledRow(s, 1, kind, grad && coefficient);
      grad?.set(s);
      return value;
    } finally {
      row.dispose();
    }
  };
});

/** t with sum_j sigmoid(alpha (z_j + t)) = k, in float64. */
function shiftOf(where: string, argument: string, z: Float32Array, k: number, alpha: number, row: number): number {
  let low = Infinity, high = -Infinity, possible = 0;
  for (const v of z) {
    if (v === -Infinity) continue;
    if (!(v < Infinity)) throw rangeError(where, argument, "below +Infinity and without NaN", `${v} in row ${row}`);
    low = Math.min(low, v);
    high = Math.max(high, v);
    possible++;
  }
  if (!(k > 0 && k < possible)) throw rangeError(where, "k", `in (0, ${possible}), below the number of possible classes of row ${row}`, `${k}`);
  const middle = logit(k / possible) / alpha;
  let from = middle - high, to = middle - low, t = (from + to) / 2;
  // Newton's step where it stays between the bounds, else their middle: both bounds close in on the root of an increasing function.
  for (let step = 0; step < 200 && from < to; step++) {
    let excess = -k, slope = 0;
    for (const v of z) {
      const y = sigmoid(alpha * (v + t));
      excess += y;
      slope += alpha * y * (1 - y);
    }
    if (excess < 0) from = t;
    else to = t;
    const next = t - excess / slope, inside = next > from && next < to ? next : (from + to) / 2;
    if (Math.abs(inside - t) <= 4e-16 * Math.max(1, Math.abs(t))) break;
    t = inside;
  }
  return t;
}

/**
 * Soft top-k: a differentiable mask of the k largest scores, which sums to k.
 *
 *   y[b, j] = sigmoid(alpha (z[b, j] + t_b)), t_b such that sum_j y[b, j] = k
 *
 * @param scores - float32 [B, C]; -Infinity = impossible, 0 in the mask
 * @param k - in (0, C)
 * @param options - `alpha`
 * @returns float32 [B, C]; the sum of a row is k to C roundings of float32
 * @throws RangeError for another shape, NaN or +Infinity (the row is named), a k that a row's possible classes do not allow
 * @example
 *   softTopK([[3, 2, -3, -2]], 2); // about 0.95, 0.88, 0.05, 0.12
 * Source: Gupta et al., "Dual-Encoders for Extreme Multi-Label Classification", ICLR 2024, section 4.3; Ahle, "Differentiable top-k function", 2022.
 */
export function softTopK(scores: TensorLike, k: number, options: SoftTopKOptions = {}): Tensor<"float32"> {
  const z = floats("softTopK", "scores", scores, ["B", "C"]), { alpha = 1 } = options;
  checkPositive("softTopK", "alpha", alpha);
  const [rows, classes] = z.shape, out = new Float32Array(z.size);
  for (let b = 0; b < rows; b++) {
    const row = z.data.subarray(b * classes, (b + 1) * classes), t = shiftOf("softTopK", "scores", row, k, alpha, b);
    row.forEach((v, j) => (out[b * classes + j] = sigmoid(alpha * (v + t))));
  }
  return new Tensor("float32", z.shape, out);
}

/**
 * Gradient of `softTopK`.
 *
 *   grad = v (g - sum_j v_j g_j / sum_j v_j),   v = alpha y (1 - y)
 *
 * @param y - float32 [B, C], the result of `softTopK`
 * @param upstream - float32 [B, C], gradient with respect to it
 * @param options - `alpha`, as in the call
 * @returns float32 [B, C]; a row where every y is 0 or 1: 0
 * @throws RangeError for shapes that do not agree
 * @example
 *   softTopKGrad(softTopK([[1, 0]], 1), [[1, 0]]); // 0.11, -0.11
 * Source: Gupta et al., ICLR 2024, appendix; the implicit function theorem.
 */
export function softTopKGrad(y: TensorLike, upstream: TensorLike, options: SoftTopKOptions = {}): Tensor<"float32"> {
  const p = floats("softTopKGrad", "y", y, ["B", "C"]), g = floats("softTopKGrad", "upstream", upstream, p.shape), { alpha = 1 } = options;
  checkPositive("softTopKGrad", "alpha", alpha);
  const [rows, classes] = p.shape, out = new Float32Array(p.size);
  for (let from = 0; from < rows * classes; from += classes) {
    let mass = 0, along = 0;
    for (let at = from; at < from + classes; at++) {
      const v = p.data[at] * (1 - p.data[at]);
      mass += v;
      along += v * g.data[at];
    }
    if (mass > 0) for (let at = from; at < from + classes; at++) out[at] = alpha * p.data[at] * (1 - p.data[at]) * (g.data[at] - along / mass);
  }
  return new Tensor("float32", p.shape, out);
}

/**
 * Loss of retrieving k: the mean of -log y over the relevant classes, y the soft mask of the k largest.
 *
 *   loss[b] = -1/|P| sum_{p in P} log y[b, p],   y = softTopK(logits, k)
 *
 * @param logits - float32 [B, C]; -Infinity = impossible
 * @param targets - uint8 [B, C], 1 = relevant
 * @param options - `k` in (0, C), `alpha`; `reduction` over rows, `weight`, `where` [B]
 * @returns float32 [B] ("none") or []; `grad` [B, C]. A row without a relevant class has the value 0 and is left out of the mean; a relevant class that is impossible: +Infinity
 * @throws RangeError for other shapes, targets that are not 0 and 1, NaN or +Infinity in a row that takes part, a k outside its range
 * @example
 *   softTopKLoss([[3, 2, -3, -2]], [[1, 1, 0, 0]], { k: 2 }); // about 0.09
 * Source: Gupta et al., "Dual-Encoders for Extreme Multi-Label Classification", ICLR 2024, section 4.3.
 */
export const softTopKLoss: SetLoss<SoftTopKLossOptions> = /* @__PURE__ */ setLoss("softTopKLoss", ({ k, alpha = 1 }, _, where) => {
  checkPositive(where, "alpha", alpha);
  return (z, set, grad, coefficient, row) => {
    const t = shiftOf(where, "logits", z, k, alpha, row);
    let value = 0, mass = 0, along = 0, count = 0;
    z.forEach((v, j) => {
      const y = sigmoid(alpha * (v + t));
      mass += y * (1 - y);
      if (set[j] === 0) return;
      count++;
      value += softplus(-alpha * (v + t));
      along += 1 - y;
    });
    if (grad) z.forEach((v, j) => {
      const y = sigmoid(alpha * (v + t)), own = set[j] === 0 ? 0 : 1 - y;
      grad[j] = (-coefficient * alpha * (own - (mass > 0 ? (y * (1 - y) * along) / mass : 0))) / count;
    });
    return value / count;
  };
});
