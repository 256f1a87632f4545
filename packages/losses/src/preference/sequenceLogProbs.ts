import { labelSums } from "@logits/core-wasm/labels";
import { exp, log, log1p } from "@logits/statistics";
import { defineLoss, lossRows, rangeError, type LossOptions, type Tensor, type TensorLike } from "@logits/tensor";

/** Options of `sequenceLogProbs`. */
export interface SequenceLogProbsOptions {
  /** uint8 [B, T], 1 = the token belongs to the answer. */
  readonly where?: TensorLike;
  /** float32 [B, T], weights of tokens. Default 1. */
  readonly weight?: TensorLike;
  /** Tokens with this label do not count. */
  readonly ignoreIndex?: number;
  /** Divides by the sum of the weights: the mean over tokens. Default false. */
  readonly normalize?: boolean;
}

/** `sequenceLogProbs`: callable, and with `withGrad`. */
export interface SequenceLogProbs {
  (logits: TensorLike, labels: TensorLike, options?: SequenceLogProbsOptions): Tensor<"float32">;
  withGrad(logits: TensorLike, labels: TensorLike, options?: SequenceLogProbsOptions & { readonly upstream?: TensorLike }): { readonly logProbs: Tensor<"float32">; readonly grad: Tensor<"float32"> };
}

const planned = /* @__PURE__ */ defineLoss("sequenceLogProbs", 2, (where, [logits, labels]: [TensorLike, TensorLike], options: SequenceLogProbsOptions & LossOptions) => {
  const { z, y, shape, weights, gradient } = lossRows(where, logits, labels, options);
  if (shape.length !== 2) throw rangeError(where, "logits", "of shape [B, T, C]", `[${[...shape, z.shape[1]].join(", ")}]`);
  const [batch, tokens] = shape, scales = new Float64Array(batch).fill(1);
  if (options.normalize) for (let b = 0; b < batch; b++) {
    let mass = 0;
    for (let t = 0; t < tokens; t++) mass += weights ? weights[b * tokens + t] : 1;
    scales[b] = mass > 0 ? 1 / mass : 0;
  }
  return {
    shape: [batch],
    pass(coefficients) {
      const values = new Float64Array(batch), grad = coefficients && new Float32Array(z.size);
      labelSums(where, z, weights ? y.map((label, i) => (weights[i] === 0 ? 0 : label)) : y, (row, gap, others, _max, out) => {
        const b = Math.floor(row / tokens), weight = scales[b] * (weights ? weights[row] : 1);
        if (weight === 0) return;
        const own = exp(gap), sum = own + others;
        values[b] += weight * (gap - (gap === 0 ? log1p(others) : log(sum)));
        if (coefficients === undefined) return;
        out.scale = (-coefficients[b] * weight) / sum;
        out.label = (coefficients[b] * weight * others) / sum;
      }, grad);
      return { values, gradients: () => ({ grad: gradient(grad!) }) };
    },
  };
});

/**
 * Log-probabilities of token sequences, from the scores of every token: what preference losses take, and the way back from their gradients to the scores.
 *
 *   logProbs[b] = sum_t w[b, t] (logits[b, t, labels[b, t]] - log sum_c exp(logits[b, t, c])),   `normalize`: divided by sum_t w[b, t]
 *
 * Labels stand where they are predicted: shift by one token where logits[t] predicts token t + 1. One pass of the kernel, the gradient in the same.
 *
 * @param logits - float32 [B, T, C]
 * @param labels - int32 [B, T], in [0, C); anything at tokens of `ignoreIndex`
 * @param options - `where` [B, T], `weight` [B, T], `ignoreIndex`, `normalize` (false)
 * @returns float32 [B]; a sequence without tokens: 0. `withGrad`: `logProbs` and `grad` [B, T, C], for `upstream` [B] (default 1): upstream w (onehot(label) - p)
 * @throws RangeError for other shapes, a label outside [0, C) (with its index), weights or a mask that are none
 * @example
 *   sequenceLogProbs([[[2, 0], [0, 1]]], [[0, 1]]); // [-0.4402]
 * Source: Rafailov et al., "Direct preference optimization", NeurIPS 2023; weights of corrected segments: Yu et al., "RLHF-V", CVPR 2024.
 */
export const sequenceLogProbs: SequenceLogProbs = /* @__PURE__ */ Object.assign((logits: TensorLike, labels: TensorLike, options: SequenceLogProbsOptions = {}) => planned(logits, labels, { ...options, reduction: "none" }), {
  withGrad(logits: TensorLike, labels: TensorLike, options: SequenceLogProbsOptions & { readonly upstream?: TensorLike } = {}) {
    const { loss, grad } = planned.withGrad(logits, labels, { ...options, reduction: "none" });
    return { logProbs: loss, grad };
  },
});
