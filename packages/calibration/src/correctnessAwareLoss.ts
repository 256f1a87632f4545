import { softmax } from "@logits/core-wasm";
import { defineLoss, lossRows, type Loss, type RowLossOptions, type TensorLike } from "@logits/tensor";

/**
 * Correctness-aware loss: the squared distance between the confidence of the answer and whether it is right.
 *
 *   loss[b] = (max_c p[b, c] - [argmax_c p[b, c] = labels[b]])^2,   p = softmax(logits)
 *
 * A loss for calibrators that keep the answers (temperatures of rows above all): cross-entropy raises the label's probability also where the answer is wrong and stays wrong, this loss lowers the confidence there.
 * It is the Brier score of the confidence, proper for it, and does not see which of the other classes is the label. It trains no classifier: moving the argmax has no gradient.
 * For temperatures T[b] that a network gives, hand in z / T; then d loss / d T[b] = -sum_c z[b, c] grad[b, c] / T[b]^2.
 *
 * @param logits - float32 [B, C], C at least 1: calibrated logits; -Infinity = impossible class
 * @param labels - int32 [B], in [0, C)
 * @param options - those of every loss: `reduction` ("mean"), `weight`, `where`, `ignoreIndex`; `axis` of the classes
 * @returns float32 [B] ("none") or []; at equal largest logits the smallest class is the answer. A row with NaN or +Infinity, or of -Infinity only: NaN.
 *   `withGrad`: `grad` [B, C], 2 (p_a - [a = label]) p_a ([c = a] - p_c) with a the answer, which is held fixed
 * @throws RangeError for another shape, a label outside [0, C) (with its index), weights or a mask that are none
 * @example
 *   correctnessAwareLoss([[2, 0], [2, 0]], [0, 1]); // ((1 - 0.8808)^2 + 0.8808^2) / 2 = 0.3950
 * Source: Liu, Wang, Zou, Zou, Zheng, "Optimizing calibration by gaining aware of prediction correctness", 2024 (arXiv:2404.13016).
 */
export const correctnessAwareLoss: Loss<[logits: TensorLike, labels: TensorLike], RowLossOptions> = /* @__PURE__ */ defineLoss("correctnessAwareLoss", 2, (where, [logits, labels], options) => {
  const { z, y, rows, classes, shape, weights, gradient } = lossRows(where, logits, labels, options);
  return {
    shape,
    weights,
    pass(coefficients) {
      const p = softmax(z).data, values = new Float64Array(rows), grad = new Float32Array(coefficients ? z.size : 0);
      for (let i = 0; i < rows; i++) {
        if (weights !== undefined && weights[i] === 0) continue;
        const first = i * classes;
        let answer = 0;
        for (let c = 1; c < classes; c++) if (z.data[first + c] > z.data[first + answer]) answer = c;
        // 1 - p as the sum of the others keeps the digits of a sure answer.
        let others = 0;
        for (let c = 0; c < classes; c++) if (c !== answer) others += p[first + c];
        const top = p[first + answer], gap = y[i] === answer ? -others : top;
        values[i] = top === top ? gap * gap : NaN;
        if (coefficients) for (let c = 0; c < classes; c++) grad[first + c] = coefficients[i] * 2 * gap * top * (c === answer ? others : -p[first + c]);
      }
      return { values, gradients: () => ({ grad: gradient(grad) }) };
    },
  };
});
