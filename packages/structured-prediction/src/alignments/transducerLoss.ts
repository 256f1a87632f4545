import { logSoftmax, softmax } from "@logits/core-wasm";
import { exp, logAddExp } from "@logits/statistics";
import { Tensor, asFloat32, asInt32, asLengths, checkInteger, checkShape, defineLoss, lastingData, rangeError, rowWeights, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";

/** Options of `transducerLoss` beside those of every loss. */
export interface TransducerOptions extends LossOptions {
  /** int32 [B]: how many frames of each sequence count. Default T. */
  readonly lengths?: TensorLike;
  /** int32 [B]: how many labels of each sequence count. Default U. */
  readonly labelLengths?: TensorLike;
}

/** Options of `rnntLoss` beside those of `transducerLoss`. */
export interface RnntOptions extends TransducerOptions {
  /** The column of the blank. Default 0. */
  readonly blank?: number;
}

/** A lattice of frames and labels: moves right by a label, up by a blank. */
interface Lattice {
  readonly T: number;
  readonly U: number;
  blank(t: number, u: number): number;
  label(t: number, u: number): number;
}

/** log p, and the posteriors of the moves where `visit` wants them. */
function sum({ T, U, blank, label }: Lattice, visit?: (t: number, u: number, blank: number, label: number) => void): number {
  if (T === 0) return U === 0 ? 0 : -Infinity;
  const width = U + 1, alpha = new Float64Array(T * width).fill(-Infinity);
  alpha[0] = 0;
  for (let t = 0; t < T; t++) for (let u = 0; u < width; u++) {
    if (t > 0) alpha[t * width + u] = alpha[(t - 1) * width + u] + blank(t - 1, u);
    if (u > 0) alpha[t * width + u] = logAddExp(alpha[t * width + u], alpha[t * width + u - 1] + label(t, u - 1));
  }
  const total = alpha[T * width - 1] + blank(T - 1, U);
  if (visit === undefined || total === -Infinity) return total;
  // beta: what follows a node, of the frame behind and the one in hand.
  let after = new Float64Array(width).fill(-Infinity), beta = new Float64Array(width);
  for (let t = T - 1; t >= 0; t--) {
    for (let u = U; u >= 0; u--) {
      const up = blank(t, u) + (t === T - 1 ? (u === U ? 0 : -Infinity) : after[u]), right = u === U ? -Infinity : label(t, u) + beta[u + 1], node = alpha[t * width + u] - total;
      beta[u] = logAddExp(up, right);
      visit(t, u, exp(node + up), right === -Infinity ? 0 : exp(node + right));
    }
    [after, beta] = [beta, after];
  }
  return total;
}

/**
 * The transducer's loss from factored scores: a blank moves on to the next frame, a label stays in it.
 *
 *   loss[b] = -log sum over monotone paths of product of exp(blank[b, t, u]) and exp(labels[b, t, u]);   T blanks and U labels each, the last move a blank
 *
 * Scores are log-probabilities that the caller has normalised, in whatever way: one softmax over blank and labels (`rnntLoss`), a blank of its own and a class-based language model for labels.
 *
 * @param blank - float32 [B, T, U + 1], the score of a blank behind u labels
 * @param labels - float32 [B, T, U], the score of label u + 1 behind u labels
 * @param options - `lengths`, `labelLengths`; `reduction` ("mean" over sequences), `weight` and `where` [B]
 * @returns float32 [B] ("none") or []; +Infinity where no path is possible, with gradient 0; a NaN that counts: NaN. `withGrad`: `grads` of both, minus the posteriors of the moves
 * @throws RangeError for another shape, lengths beyond T or U
 * @example
 *   const { grads } = transducerLoss.withGrad(blank, labels); // grads.blank, grads.labels
 * Source: Graves, "Sequence transduction with recurrent neural networks", 2012 (arXiv:1211.3711); factored: Chen et al., "Factorized neural transducer", ICASSP 2022 (arXiv:2110.01500).
 */
export const transducerLoss: Loss<[blank: TensorLike, labels: TensorLike], TransducerOptions, { readonly grads: { readonly blank: Tensor<"float32">; readonly labels: Tensor<"float32"> } }> = /* @__PURE__ */ defineLoss("transducerLoss", 2, (where, [blank, labels], options) => {
  const x = asFloat32(where, "blank", blank), y = asFloat32(where, "labels", labels);
  if (x.shape.length !== 3 || x.shape[2] === 0) throw rangeError(where, "blank", "of shape [B, T, U + 1]", `[${x.shape.join(", ")}]`);
  const [batch, T, width] = x.shape, U = width - 1;
  checkShape(where, "labels", y, [batch, T, U]);
  const weights = rowWeights(where, batch, options), lengths = asLengths(where, "lengths", options.lengths, batch, T), spelt = asLengths(where, "labelLengths", options.labelLengths, batch, U);
  return {
    shape: [batch],
    weights,
    pass(coefficients) {
      const values = new Float64Array(batch), gx = new Float32Array(coefficients ? x.size : 0), gy = new Float32Array(coefficients ? y.size : 0);
      for (let b = 0; b < batch; b++) {
        if (weights?.[b] === 0) continue;
        const at = (t: number, u: number): number => (b * T + t) * width + u, to = (t: number, u: number): number => (b * T + t) * U + u;
        values[b] = -sum({ T: lengths[b], U: spelt[b], blank: (t, u) => x.data[at(t, u)], label: (t, u) => y.data[to(t, u)] }, coefficients && ((t, u, up, right) => {
          gx[at(t, u)] = -coefficients[b] * up;
          if (u < spelt[b]) gy[to(t, u)] = -coefficients[b] * right;
        }));
      }
      return { values, gradients: () => ({ grads: { blank: new Tensor("float32", x.shape, gx), labels: new Tensor("float32", y.shape, gy) } }) };
    },
  };
});

/**
 * The loss of a recurrent neural network transducer, from joint logits.
 *
 *   loss[b] = transducerLoss of log softmax(logits[b, t, u]) at the blank and at labels[b, u]
 *
 * @param logits - float32 [B, T, U + 1, C]: at frame t behind u labels
 * @param labels - int32 [B, U], in [0, C) and not the blank
 * @param options - `blank` (0), `lengths`, `labelLengths`; `reduction` ("mean" over sequences), `weight` and `where` [B]
 * @returns float32 [B] ("none") or []; +Infinity where no path is possible, with gradient 0; a NaN that counts: NaN. `withGrad`: `grad`, the shape of the logits
 * @throws RangeError for another shape, a label outside [0, C) or equal to the blank (with its index), lengths beyond T or U
 * @example
 *   rnntLoss(joint, tokens, { lengths: frames });
 * Source: Graves, "Sequence transduction with recurrent neural networks", 2012 (arXiv:1211.3711).
 */
export const rnntLoss: Loss<[logits: TensorLike, labels: TensorLike], RnntOptions> = /* @__PURE__ */ defineLoss("rnntLoss", 2, (where, [logits, labels], options) => {
  const x = asFloat32(where, "logits", logits), y = asInt32(where, "labels", labels), { blank = 0 } = options;
  if (x.shape.length !== 4 || x.shape[2] === 0) throw rangeError(where, "logits", "of shape [B, T, U + 1, C]", `[${x.shape.join(", ")}]`);
  const [batch, T, width, C] = x.shape, U = width - 1;
  checkInteger(where, "blank", blank, 0, C - 1);
  checkShape(where, "labels", y, [batch, U]);
  const weights = rowWeights(where, batch, options), lengths = asLengths(where, "lengths", options.lengths, batch, T), spelt = asLengths(where, "labelLengths", options.labelLengths, batch, U);
  for (let b = 0; b < batch; b++) for (let u = 0; u < spelt[b]; u++) {
    const label = y.data[b * U + u];
    if (weights?.[b] !== 0 && (!(label >= 0 && label < C) || label === blank)) throw rangeError(where, "labels", `in [0, ${C}) and not the blank, ${blank}`, `${label} at index ${b * U + u}`);
  }
  return {
    shape: [batch],
    weights,
    pass(coefficients) {
      const rows = new Tensor("float32", [batch * T * width, C], lastingData(x)), logP = x.size === 0 ? x.data : logSoftmax(rows).data, p = coefficients && x.size > 0 ? softmax(rows).data : undefined, values = new Float64Array(batch), grad = new Float32Array(p ? x.size : 0);
      for (let b = 0; b < batch; b++) {
        if (weights?.[b] === 0) continue;
        const at = (t: number, u: number): number => ((b * T + t) * width + u) * C, label = (u: number): number => y.data[b * U + u];
        values[b] = -sum({ T: lengths[b], U: spelt[b], blank: (t, u) => logP[at(t, u) + blank], label: (t, u) => logP[at(t, u) + label(u)] }, p && ((t, u, up, right) => {
          const first = at(t, u), c = coefficients![b];
          for (let k = first; k < first + C; k++) grad[k] = c * (up + right) * p[k];
          grad[first + blank] -= c * up;
          if (u < spelt[b]) grad[first + label(u)] -= c * right;
        }));
      }
      return { values, gradients: () => ({ grad: new Tensor("float32", x.shape, grad) }) };
    },
  };
});
