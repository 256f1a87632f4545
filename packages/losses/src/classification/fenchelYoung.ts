import { entmax15, sparsemax } from "@logits/core-wasm/sparse";
import { pow } from "@logits/statistics";
import { defineLoss, lossRows, rangeError, scoreRows, type Loss, type LossPlan, type RowLossOptions, type ScoreRows, type Tensor, type TensorLike } from "@logits/tensor";
import type { LabelLoss } from "../labelLoss.ts";
import { checkRange } from "../range.ts";
import { targetRows } from "../targetRows.ts";

/** The largest <p, x> - Omega(p) of one row x (its maximum is 0), which also writes the p that has it; Omega of a corner is 0. */
export type Potential = (x: Float64Array, p: Float64Array, row: number) => number;

function plan({ z, rows, classes, shape, weights, gradient }: ScoreRows, potential: Potential, target: (i: number) => number): LossPlan<{ readonly grad: Tensor<"float32"> }> {
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(z.size), p = new Float64Array(classes), x = new Float64Array(classes);
      for (let row = 0; row < rows; row++) {
        if (weights?.[row] === 0) continue;
        const at = row * classes, scores = z.data.subarray(at, at + classes), top = scores.reduce((a, b) => (a >= b || a !== a ? a : b));
        // A row of -Infinity, or with +Infinity or NaN, becomes NaN.
        for (let c = 0; c < classes; c++) x[c] = scores[c] - top;
        let value = potential(x, p.fill(0), row), mass = 0;
        for (let c = 0; c < classes; c++) {
          const t = target(at + c);
          mass += t;
          if (t !== 0) value -= t * x[c];
          if (coefficients) grad[at + c] = coefficients[row] * (p[c] - t);
        }
        // <p, x> has lost top, <t, x> top times the sum of t.
        values[row] = mass === 1 ? value : value + (1 - mass) * top;
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
}

const labelTarget = (y: Int32Array, classes: number) => (i: number): number => (i % classes === y[Math.floor(i / classes)] ? 1 : 0);

/** Sparse losses: the kernel finds which classes are not 0, their probabilities are made again in float64. */
function sparseLoss(name: string, map: (z: Tensor<"float32">) => Tensor<"float32">, potential: (x: Float64Array, support: readonly number[], p: Float64Array) => number): LabelLoss {
  return defineLoss(name, 2, (where, [logits, labels], options) => {
    const rows = lossRows(where, logits, labels, options), { y, classes } = rows, found = map(rows.z).data;
    return plan(rows, (x, p, row) => {
      const support: number[] = [];
      for (let c = 0; c < classes; c++) if (found[row * classes + c] !== 0) support.push(c);
      return potential(x, support, p);
    }, labelTarget(y, classes));
  });
}

/**
 * Sparsemax loss: like cross-entropy, but with sparse probabilities, and exactly 0 where the label leads by 1.
 *
 *   loss = (1 - sum p^2) / 2 + <p, x> - x[y],   p = sparsemax(x);   gradient = p - onehot(y)
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. A row with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`
 * @example
 *   sparsemaxLoss([[0, 0]], [0]); // 0.25
 * Source: Martins and Astudillo, "From Softmax to Sparsemax", ICML 2016, section 3.2.
 */
export const sparsemaxLoss: LabelLoss = /* @__PURE__ */ sparseLoss("sparsemaxLoss", sparsemax, (x, support, p) => {
  let sum = 0, value = 0.5;
  for (const c of support) sum += x[c];
  for (const c of support) {
    p[c] = x[c] - (sum - 1) / support.length;
    value += p[c] * (x[c] - p[c] / 2);
  }
  return value;
});

/**
 * Entmax loss with alpha 1.5, between cross-entropy and the sparsemax loss: 0 where the label leads by 2.
 *
 *   loss = (1 - sum p^1.5) / 0.75 + <p, x> - x[y],   p = entmax15(x);   gradient = p - onehot(y)
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. A row with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`
 * @example
 *   entmax15Loss([[0, 0]], [0]); // (1 - 2^-0.5) / 0.75 = 0.3905
 * Source: Peters, Niculae, Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, section 3.
 */
export const entmax15Loss: LabelLoss = /* @__PURE__ */ sparseLoss("entmax15Loss", entmax15, (x, support, p) => {
  let mean = 0, spread = 0, value = 4 / 3;
  for (const c of support) mean += x[c] / 2 / support.length;
  for (const c of support) spread += (x[c] / 2 - mean) * (x[c] / 2 - mean);
  const tau = mean - Math.sqrt(Math.max(0, 1 - spread) / support.length);
  for (const c of support) {
    const root = Math.max(0, x[c] / 2 - tau);
    p[c] = root * root;
    value += p[c] * (x[c] - (4 / 3) * root);
  }
  return value;
});

/** Options of `entmaxLoss`. */
export interface EntmaxOptions extends RowLossOptions {
  /** Which Tsallis entropy, in [1.01, 16]: to 1 cross-entropy, 1.5 `entmax15Loss`, 2 `sparsemaxLoss`. Default 1.5. */
  readonly alpha?: number;
}

/**
 * Entmax losses of any alpha > 1, by bisection: slower than `entmax15Loss` and `sparsemaxLoss`.
 *
 *   loss = (1 - sum p^alpha) / (alpha (alpha - 1)) + <p, x> - x[y],   p = max((alpha - 1) x - tau, 0)^(1 / (alpha - 1)), tau such that p sums to 1;   gradient = p - onehot(y)
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `alpha`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. A row with NaN or +Infinity, or of -Infinity only: NaN. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for an alpha outside [1.01, 16]
 * @example
 *   entmaxLoss([[0, 0]], [0], { alpha: 2 }); // 0.25
 * Source: Peters, Niculae, Martins, "Sparse Sequence-to-Sequence Models", ACL 2019, equations 10 and 11.
 */
export const entmaxLoss: LabelLoss<EntmaxOptions> = /* @__PURE__ */ defineLoss("entmaxLoss", 2, (where, [logits, labels], options) => {
  const { alpha = 1.5 } = options, rows = lossRows(where, logits, labels, options), { y, classes } = rows;
  checkRange(where, "alpha", alpha, 1.01, 16);
  return plan(rows, (x, p) => {
    // tau lies between -1, where the largest alone has 1, and 0, where all have 0.
    let low = -1, high = 0, sum = 0, value = 1 / (alpha * (alpha - 1));
    for (let step = 0; step < 60; step++) {
      const tau = (low + high) / 2;
      sum = 0;
      for (let c = 0; c < x.length; c++) sum += p[c] = pow(Math.max(0, (alpha - 1) * x[c] - tau), 1 / (alpha - 1));
      if (sum >= 1) low = tau;
      else high = tau;
    }
    for (let c = 0; c < x.length; c++) {
      p[c] /= sum;
      if (p[c] !== 0) value += p[c] * (x[c] - pow(p[c], alpha - 1) / (alpha * (alpha - 1)));
    }
    return value;
  }, labelTarget(y, classes));
});

/** Options of `fenchelYoungLoss`. */
export interface FenchelYoungOptions extends RowLossOptions {
  /** Omega's conjugate and its gradient for one row, whose maximum is 0. */
  readonly potential: Potential;
}

/**
 * Fenchel-Young loss of a potential of one's own: how far <t, x> is below the largest <p, x> - Omega(p), without Omega(t).
 *
 *   loss = max_p (<p, x> - Omega(p)) - <t, x>;   gradient = argmax_p - t
 *
 * @param scores - float32 [B, C] or [B, ..., C]
 * @param targets - float32, the shape of the scores; not differentiated
 * @param options - those of every loss, `axis`, and `potential`, which must be given: it gets a row less its maximum, writes the p that has the maximum (it sums to 1) and returns the maximum
 * @returns float32 [B], [B, ...] ("none") or []. `withGrad`: `grad`, the shape of the scores
 * @throws RangeError for another shape, weights or a mask that are none, a potential that is no function
 * @example
 *   // Omega = 0: the largest score wins, the perceptron's loss.
 *   fenchelYoungLoss([[3, 1]], [[0, 1]], { potential: (x, p) => ((p[x.indexOf(0)] = 1), 0) }); // 3 - 1 = 2
 * Source: Blondel, Martins, Niculae, "Learning with Fenchel-Young Losses", JMLR 21 (2020), definition 2.
 */
export const fenchelYoungLoss: Loss<[scores: TensorLike, targets: TensorLike], FenchelYoungOptions> = /* @__PURE__ */ defineLoss("fenchelYoungLoss", 2, (where, [scores, targets], options) => {
  const rows = scoreRows(where, "scores", scores, options), { z } = targetRows(where, "targets", targets, rows, options), { potential } = options;
  if (typeof potential !== "function") throw rangeError(where, "potential", "a function", `${potential}`);
  return plan(rows, potential, (i) => z.data[i]);
});
