import { softmax } from "@logits/core-wasm";
import { ctcSums } from "@logits/core-wasm/alignments";
import { log } from "@logits/statistics";
import { Tensor, asFloat32, defineLoss, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { ctcBatch, type CtcOptions } from "./frames.ts";

/** Options of `ctcLoss` beside those of every loss. */
export interface CtcLossOptions extends LossOptions, CtcOptions {}

/**
 * Connectionist temporal classification: the negative log-probability that the frames spell the labels, in nats, summed over all alignments.
 *
 *   loss[b] = -log sum over paths that spell labels[b] of product_t softmax(logits[b, t])[path[t]]
 *
 * A path spells what is left of it when repetitions are joined and blanks dropped.
 *
 * @param logits - float32 [B, T, C] or [T, C]: logits, not log-probabilities (those do as well); -Infinity = impossible class
 * @param labels - int32 [B, S] or [S], in [0, C) and not the blank; what lies beyond `labelLengths` is not read
 * @param options - `blank` (0), `lengths`, `labelLengths`, `wildcard`; `reduction` ("mean" over sequences), `weight` and `where` [B]
 * @returns float32 [B] ("none") or []; +Infinity where the labels cannot be spelt (fewer frames than labels and repetitions), with gradient 0. NaN where a frame that counts has NaN or no possible class.
 *   `withGrad`: `grad`, softmax less posteriors, 0 beyond `lengths`
 * @throws RangeError for another shape, a label outside [0, C) or equal to the blank (with its index), lengths beyond T or S
 * @example
 *   ctcLoss([[0, 3], [3, 0]], [1]); // two frames, one label: paths "1 1", "1 blank", "blank 1"
 * Source: Graves, Fernandez, Gomez, Schmidhuber, "Connectionist temporal classification", ICML 2006.
 */
export const ctcLoss: Loss<[logits: TensorLike, labels: TensorLike], CtcLossOptions> = /* @__PURE__ */ defineLoss("ctcLoss", 2, (where, [logits, labels], options) => {
  const { shape } = asFloat32(where, "logits", logits), weights = rowWeights(where, shape.length === 3 ? shape[0] : 1, options), given = ctcBatch(where, logits, labels, options, weights), { batch, frames, classes } = given;
  return {
    shape: [batch],
    weights,
    pass(coefficients) {
      const values = new Float64Array(batch), grad = new Float32Array(coefficients ? given.logits.size : 0);
      for (let b = 0; b < batch; b++) {
        if (weights?.[b] === 0) continue;
        const sequence = given.sequence(b), columns = sequence.scores.shape[1], first = b * frames * classes, T = given.lengths[b];
        const own = coefficients && (columns === classes ? grad.subarray(first, first + T * classes) : new Float32Array(T * columns));
        const { mantissa, exponent, sums } = ctcSums(where, sequence, own ? { grad: own, coefficient: coefficients![b] } : {});
        values[b] = mantissa === 0 ? Infinity : sums.reduce((sum, z) => sum + log(z), 0) - log(mantissa) - exponent * Math.LN2;
        if (own === undefined || columns === classes) continue;
        // What the wildcard took goes back to the classes as the gradient of log Z.
        const p = softmax(new Tensor("float32", [T, classes], given.logits.data.slice(first, first + T * classes))).data;
        for (let t = 0; t < T; t++) for (let c = 0; c < classes; c++) grad[first + t * classes + c] = own[t * columns + c] + own[t * columns + classes] * p[t * classes + c];
      }
      return { values, gradients: () => ({ grad: new Tensor("float32", given.logits.shape, grad) }) };
    },
  };
});
