import { checkPositive, defineLoss, scoreRows } from "@logits/tensor";
import { takingPart } from "../labelled.ts";
import { logSoftmaxRow } from "../logSoftmaxRow.ts";
import { targetRows } from "../targetRows.ts";
import type { DistillationLoss } from "./divergence.ts";
import type { DistillationOptions } from "./studentLoss.ts";

/** Options of `distLoss`. */
export interface DistOptions extends Omit<DistillationOptions, "standardize"> {
  /** Weight of the relation among the classes of a row. Default 1. */
  readonly beta?: number;
  /** Weight of the relation among the rows of a class. Default 1. */
  readonly gamma?: number;
}

/**
 * DIST: the student's probabilities correlate with the teacher's, within each row and within each class over the batch; they need not match.
 *
 *   loss[b] = T^2 (beta (1 - r(s[b, :], t[b, :])) + gamma mean_c (1 - r(s[:, c], t[:, c]))),   r = Pearson's correlation,  s = softmax(logits / T)
 *
 * @param logits - float32 [B, C] or [B, ..., C], the student's scores; all rows that take part are one batch
 * @param teacher - float32, the same shape. No gradient
 * @param options - `beta` (1), `gamma` (1), `temperature` (1; the paper has 1 on ImageNet, 4 on CIFAR-100 with both weights 2), and those of every loss
 * @returns float32 [B, ...] ("none") or []. Where one side does not vary the correlation counts as 0 and has no gradient. `withGrad`: `grad`
 * @throws RangeError for other shapes, a temperature that is not positive, weights or a mask that are none
 * @example
 *   distLoss([[2, 0, 1], [0, 3, 1]], [[1, 0, 1], [0, 2, 0]]); // 0.1477
 * Source: Huang, You, Wang, Qian, Xu, "Knowledge distillation from a stronger teacher", NeurIPS 2022.
 */
export const distLoss: DistillationLoss<DistOptions> = /* @__PURE__ */ defineLoss("distLoss", 2, (where, [logits, teacher], options) => {
  const { temperature = 1, beta = 1, gamma = 1 } = options, student = scoreRows(where, "logits", logits, options), { z, rows, classes, shape, weights } = student, t = targetRows(where, "teacher", teacher, student, options).z.data;
  checkPositive(where, "temperature", temperature);
  return {
    shape,
    weights,
    pass(coefficients) {
      const kept = takingPart(rows, weights), square = temperature * temperature;
      const s = probabilities(z.data), q = probabilities(t), values = new Float64Array(rows), grad = new Float32Array(coefficients ? z.size : 0);
      // Derivatives by s: within the rows each has its coefficient, within the classes the sum of all.
      const d = new Float64Array(z.size), total = coefficients ? coefficients.reduce((a, b) => a + b, 0) : 0;
      let among = 0;
      for (let c = 0; c < classes; c++) among += (1 - correlation(kept.length, (i) => kept[i] * classes + c, -gamma * total / classes)) / classes;
      for (const r of kept) {
        values[r] = square * (beta * (1 - correlation(classes, (c) => r * classes + c, coefficients ? -beta * coefficients[r] : 0)) + gamma * among);
        if (coefficients === undefined) continue;
        let mean = 0;
        for (let i = r * classes; i < (r + 1) * classes; i++) mean += s[i] * d[i];
        for (let i = r * classes; i < (r + 1) * classes; i++) grad[i] = temperature * s[i] * (d[i] - mean);
      }
      return { values, gradients: () => ({ grad: student.gradient(grad) }) };

      /** Pearson's correlation of n elements of s and q; adds `scale` times its derivative by s. */
      function correlation(n: number, at: (i: number) => number, scale: number): number {
        // Means from the first element: what does not vary has no deviation from its mean, not a rounding that is divided by itself.
        const s0 = n > 0 ? s[at(0)] : 0, q0 = n > 0 ? q[at(0)] : 0;
        let ms = s0, mq = q0, ss = 0, qq = 0, sq = 0;
        for (let i = 1; i < n; i++) {
          ms += (s[at(i)] - s0) / n;
          mq += (q[at(i)] - q0) / n;
        }
        for (let i = 0; i < n; i++) {
          const a = s[at(i)] - ms, b = q[at(i)] - mq;
          ss += a * a;
          qq += b * b;
          sq += a * b;
        }
        // A standard deviation below 1e-12 of the mean is that of the roundings of a softmax.
        const flat = ss <= 1e-24 * n * ms * ms || qq <= 1e-24 * n * mq * mq, norm = Math.sqrt((flat ? 0 : ss) * qq), r = norm > 0 ? sq / norm : norm === 0 ? 0 : norm;
        if (norm > 0) for (let i = 0; i < n; i++) d[at(i)] += scale * ((q[at(i)] - mq) / norm - (r * (s[at(i)] - ms)) / ss);
        return r;
      }
    },
  };

  function probabilities(data: Float32Array): Float64Array {
    const out = new Float64Array(data.length);
    for (let r = 0; r < rows; r++) {
      if (weights?.[r] === 0) continue;
      logSoftmaxRow(Float64Array.from(data.subarray(r * classes, (r + 1) * classes), (v) => v / temperature), out.subarray(r * classes, (r + 1) * classes));
    }
    return out;
  }
});
