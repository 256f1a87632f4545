import { exp } from "@logits/statistics";
import { asMask, checkInteger, checkPositive, defineLoss, lossRows, rangeError, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { checkRange } from "../range.ts";

/** Options of `hardestNegativesLoss`. */
export interface HardestNegativesOptions extends LossOptions {
  /** uint8 [B, C], 1 = relevant: never taken as a negative. Default: the label alone. */
  readonly positives?: TensorLike;
  /** How many of the highest irrelevant scores count, >= 1; where there are fewer, these. Default 100. */
  readonly count?: number;
  /** Default 0.3. */
  readonly margin?: number;
  /** Weighs the violations with a softmax of their scores over this; Infinity: with 1. Default 0.1. */
  readonly temperature?: number;
}

/**
 * Hinge loss against the highest scores of irrelevant classes in the batch, in which the worst violations weigh most.
 *
 *   loss[b] = sum over the k highest irrelevant n with a violation: p_n max(0, s_n - s_y + margin),   p = softmax over them of s_n / temperature
 *
 * The gradient goes through p as well.
 *
 * @param scores - float32 [B, C]: similarities of queries and the labels of the batch
 * @param labels - int32 [B], in [0, C): a relevant class of each row
 * @param options - `positives`, `count`, `margin`, `temperature`; those of every loss
 * @returns float32 [B] ("none") or []; 0 where no irrelevant class violates the margin. A row with NaN: NaN. `withGrad`: `grad`; equal scores are taken by index
 * @throws RangeError for another shape, a label outside [0, C) (with its index), options outside their range
 * @example
 *   hardestNegativesLoss([[0.5, 0.4, 0.1]], [0], { count: 1 }); // 0.2
 * Source: Dahiya et al., "NGAME: Negative Mining-aware Mini-batching for Extreme Classification", WSDM 2023, section 3; the weights from its published training code.
 */
export const hardestNegativesLoss: Loss<[scores: TensorLike, labels: TensorLike], HardestNegativesOptions> = /* @__PURE__ */ defineLoss("hardestNegativesLoss", 2, (where, [scores, labels]: [TensorLike, TensorLike], options: HardestNegativesOptions) => {
  const { z, y, rows, classes, shape, weights, gradient } = lossRows(where, scores, labels, options), { count = 100, margin = 0.3, temperature = 0.1 } = options;
  checkInteger(where, "count", count, 1, 2147483647);
  checkRange(where, "margin", margin, 0);
  if (temperature !== Infinity) checkPositive(where, "temperature", temperature);
  const positives = options.positives === undefined ? undefined : asMask(where, "positives", options.positives);
  if (positives && positives.size !== z.size) throw rangeError(where, "positives", `of shape [${[...shape, classes].join(", ")}]`, `[${positives.shape.join(", ")}]`);
  return {
    shape,
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(coefficients ? z.size : 0);
      for (let i = 0, from = 0; i < rows; i++, from += classes) {
        if (weights?.[i] === 0) continue;
        const s = z.data.subarray(from, from + classes), own = s[y[i]];
        if (s.some((v) => v !== v)) {
          values[i] = NaN;
          grad.fill(NaN, from, coefficients ? from + classes : from);
          continue;
        }
        const hard = Array.from(s.keys()).filter((c) => c !== y[i] && positives?.data[from + c] !== 1).sort((a, b) => s[b] - s[a] || a - b).slice(0, count).filter((c) => s[c] - own + margin > 0);
        if (hard.length === 0) continue;
        const p = hard.map((c) => (temperature === Infinity ? 1 : exp((s[c] - s[hard[0]]) / temperature))), total = temperature === Infinity ? 1 : p.reduce((a, b) => a + b, 0);
        hard.forEach((c, k) => (values[i] += (p[k] / total) * (s[c] - own + margin)));
        if (coefficients === undefined) continue;
        hard.forEach((c, k) => {
          const share = p[k] / total, slope = coefficients[i] * share;
          grad[from + c] = slope * (temperature === Infinity ? 1 : 1 + (s[c] - own + margin - values[i]) / temperature);
          grad[from + y[i]] -= slope;
        });
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});
