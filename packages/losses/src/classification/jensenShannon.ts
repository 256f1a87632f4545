import { log } from "@logits/statistics";
import { defineLoss, rangeError, rowWeights, scoreRows, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { logSoftmaxRow } from "../logSoftmaxRow.ts";

/**
 * Jensen-Shannon divergence among the predictions of several views of a row, such as augmentations: 0 where they agree.
 *
 *   m = (1 / K) sum_k p_k;   loss = (1 / K) sum_k KL(p_k, m);   gradient of view k = (1 / K) p_k (log(p_k / m) - KL(p_k, m))
 *
 * @param views - float32 [B, K, C]: logits of K views of each row; -Infinity = impossible class
 * @param options - those of every loss, with one value per row
 * @returns float32 [B] ("none") or [], between 0 and log K. A row with a view of NaN, +Infinity, or -Infinity only: NaN. `withGrad`: `grad`, [B, K, C]
 * @throws RangeError for another shape, weights or a mask that are none
 * @example
 *   jensenShannonConsistencyLoss([[[50, 0], [0, 50]]]); // log 2 = 0.6931
 * Source: Hendrycks, Mu, Cubuk, Zoph, Gilmer, Lakshminarayanan, "AugMix", ICLR 2020, equation 2; there with the factor 12 beside the cross-entropy of the first view.
 */
export const jensenShannonConsistencyLoss: Loss<[views: TensorLike], LossOptions> = /* @__PURE__ */ defineLoss("jensenShannonConsistencyLoss", 1, (where, [views], options) => {
  const { z, classes, shape, gradient } = scoreRows(where, "views", views, {}), [rows, count] = shape, weights = rowWeights(where, [rows], options);
  if (shape.length !== 2 || count === 0) throw rangeError(where, "views", "of shape [B, K, C], K at least 1", `[${[...shape, classes].join(", ")}]`);
  return {
    shape: [rows],
    weights,
    pass(coefficients) {
      const values = new Float64Array(rows), grad = new Float32Array(z.size), width = count * classes, logP = new Float64Array(width), p = new Float64Array(width), m = new Float64Array(classes), logK = log(count);
      for (let row = 0; row < rows; row++) {
        if (weights?.[row] === 0) continue;
        m.fill(0);
        logP.set(z.data.subarray(row * width, (row + 1) * width));
        for (let at = 0; at < width; at += classes) {
          logSoftmaxRow(logP.subarray(at, at + classes), p.subarray(at, at + classes));
          // Of the sum, not of the mean: half of the smallest number is 0.
          for (let c = 0; c < classes; c++) m[c] += p[at + c];
        }
        for (let at = 0; at < width; at += classes) {
          let divergence = 0;
          for (let c = 0; c < classes; c++) if (p[at + c] !== 0) divergence += p[at + c] * (logP[at + c] += logK - log(m[c]));
          values[row] += divergence / count;
          if (coefficients) for (let c = 0; c < classes; c++) if (p[at + c] !== 0) grad[row * width + at + c] = (coefficients[row] / count) * p[at + c] * (logP[at + c] - divergence);
        }
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});
