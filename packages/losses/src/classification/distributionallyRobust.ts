import { exp, log } from "@logits/statistics";
import { checkPositive, rangeError, Tensor, type LossRows, type RowLossOptions } from "@logits/tensor";
import { labelLoss, type LabelLoss } from "../labelLoss.ts";
import { checkRange } from "../range.ts";

/** Options of `ldrLoss`. */
export interface LdrOptions extends RowLossOptions {
  /** Temperature of the worst distribution over labels, > 0: 1 cross-entropy, to 0 the Crammer-Singer hinge, to infinity a linear loss. Default 1. */
  readonly lambda?: number;
  /** By how much the label's score must lead the others, >= 0. Default 0. */
  readonly margin?: number;
}

/**
 * Label-distributionally robust loss: the expected lead of other classes over the label under the worst distribution over labels, less its divergence from the uniform one.
 *
 *   loss = max over distributions q of  sum_c q[c] (x[c] - x[y] + m [c != y]) - lambda KL(q, uniform) = lambda log( (1 / C) sum_c exp((x[c] - x[y] + m [c != y]) / lambda) )
 *   gradient = softmax((x + m [c != y]) / lambda) - onehot(y)
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `lambda`, `margin` m
 * @returns float32 of the labels' shape ("none") or [], at least -lambda log C; +Infinity where the labelled class is impossible. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for options outside their range
 * @example
 *   ldrLoss([[0, 0]], [0]); // log 2 - log 2 = 0
 * Source: Zhu, Ying, Yang, "Label Distributionally Robust Losses for Multi-class Classification", ICML 2023, equation 4.
 */
export const ldrLoss: LabelLoss<LdrOptions> = /* @__PURE__ */ labelLoss("ldrLoss", ({ lambda = 1, margin = 0 }, rows, where) => {
  checkPositive(where, "lambda", lambda);
  checkRange(where, "margin", margin, 0);
  const constant = lambda * log(rows.classes);
  return { scores: led(rows, margin, () => lambda), value: (logP) => -lambda * logP - constant, slope: () => 1 };
});

/** (x + margin [c != y]) / lambda. A row whose label is out of range takes no part. */
function led({ z, y, classes }: LossRows, margin: number, lambda: (row: number) => number): Tensor<"float32"> {
  const out = new Float32Array(z.size);
  for (let row = 0, i = 0; i < out.length; row++) for (let c = 0, by = lambda(row); c < classes; c++, i++) out[i] = (z.data[i] + (c === y[row] ? 0 : margin)) / by;
  return new Tensor("float32", z.shape, out);
}

/** Options of `aldrLoss`. */
export interface AldrOptions extends LdrOptions {
  /** How strongly temperatures are held at `lambda`, > 1: the larger, the nearer to `ldrLoss`. Default 2. */
  readonly alpha?: number;
}

/**
 * Label-distributionally robust loss whose temperature is each row's own: lower where the prediction is peaked.
 *
 *   loss = lambda_b log( (1 / C) sum_c exp((x[c] - x[y] + m [c != y]) / lambda_b) ) - alpha log C / (2 lambda) (lambda_b - lambda)^2
 *   lambda_b = lambda (1 - KL(p, uniform) / (alpha log C)),   p = softmax((x + m [c != y]) / lambda_b): the largest such lambda_b, at which the loss is stationary
 *   gradient = p - onehot(y), exactly: the loss does not change with lambda_b
 *
 * @param logits - float32 [B, C] or [B, ..., C]; -Infinity = impossible class
 * @param labels - int32 [B] or [B, ...], in [0, C)
 * @param options - those of every loss, `axis`, `lambda`, `margin` m, `alpha`
 * @returns float32 of the labels' shape ("none") or []; +Infinity where the labelled class is impossible. One class: 0. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError as `crossEntropy`, for options outside their range
 * @example
 *   aldrLoss([[0, 0]], [0]); // uniform: lambda_b = lambda, 0
 * Source: Zhu, Ying, Yang, "Label Distributionally Robust Losses for Multi-class Classification", ICML 2023, section 5. Public code keeps each row's temperature and takes one step to it per visit; here it is solved for.
 */
export const aldrLoss: LabelLoss<AldrOptions> = /* @__PURE__ */ labelLoss("aldrLoss", ({ lambda = 1, margin = 0, alpha = 2 }, rows, where) => {
  const { z, y, classes, weights } = rows, most = log(classes), hold = most > 0 ? (alpha * most) / lambda : 1;
  checkPositive(where, "lambda", lambda);
  checkRange(where, "margin", margin, 0);
  if (!(alpha > 1 && alpha < Infinity)) throw rangeError(where, "alpha", "a finite number > 1", `${alpha}`);
  const temperatures = Float64Array.from({ length: rows.rows }, (_, row) => (weights?.[row] === 0 ? lambda : fixedPoint(z.data.subarray(row * classes, (row + 1) * classes), y[row], margin, lambda, hold)));
  return {
    scores: led(rows, margin, (row) => temperatures[row]),
    value: (logP, _, row) => -temperatures[row] * (logP + most) - (hold / 2) * (temperatures[row] - lambda) * (temperatures[row] - lambda),
    slope: () => 1,
  };
});

/** The steps fall from lambda to the largest fixed point. */
function fixedPoint(x: Float32Array, label: number, margin: number, lambda: number, hold: number): number {
  const scores = Float64Array.from(x, (v, c) => (c === label ? v : v + margin)), top = scores.reduce((a, b) => (a > b ? a : b));
  for (let t = lambda, step = 0; ; step++) {
    let sum = 0, mean = 0;
    for (const s of scores) {
      if (s === -Infinity) continue;
      const e = exp((s - top) / t);
      sum += e;
      mean += (e * (s - top)) / t;
    }
    const next = lambda - (mean / sum - log(sum / x.length)) / hold;
    if (step === 200 || !(Math.abs(next - t) > 1e-14 * t)) return next;
    t = next;
  }
}
