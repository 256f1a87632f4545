import { exp } from "@logits/statistics";
import { checkPositive } from "@logits/tensor";
import { classLoss, softmaxRow, type ClassLoss } from "./classCosines.ts";
import { softmaxOf, type CosineSoftmaxOptions, type MarginOptions } from "./marginSoftmax.ts";

/** Options of `softTripleLoss`. */
export interface SoftTripleOptions extends MarginOptions {
  /** gamma, the temperature of the softmax over the vectors of a class. Default 0.1. */
  readonly gamma?: number;
}

/**
 * Mean squared error of cosines against one-hot labels, whose gradient is P2SGrad's: it neither vanishes nor depends on a scale.
 *
 *   loss[b] = 1/C sum_c (cos(embeddings[b], weights[c]) - [c = labels[b]])^2
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F]
 * @param labels - int32 [B], in [0, C)
 * @param options - those of every loss
 * @returns as `marginSoftmaxLoss`
 * @throws as `marginSoftmaxLoss`
 * @example
 *   p2sGradLoss([[1, 0]], [[1, 0], [0, 1]], [1]); // (1 + 1) / 2 = 1
 * Source: Zhang et al., "P2SGrad: Refined Gradients for Optimizing Deep Face Models", CVPR 2019, eq. 11; as a loss: Wang and Yamagishi, Interspeech 2021.
 */
export const p2sGradLoss: ClassLoss = /* @__PURE__ */ classLoss("p2sGradLoss", (_, { y, classes, target }) => (cosines, i, coefficient) => {
  let value = 0;
  for (let j = 0; j < classes; j++) {
    const off = j === y[i] ? target(i) - 1 : cosines[j];
    value += (off * off) / classes;
    if (coefficient !== undefined) cosines[j] = (2 * coefficient * off) / classes;
  }
  return value;
});

/**
 * SoftTriple: several vectors for each class, of which a softmax takes the near ones; a margin on the label.
 *
 *   S[b, c] = sum_k pi_k cos(embeddings[b], weights[c, k]), pi = softmax_k(cos / gamma);   loss[b] = log sum_c exp(s (S[b, c] - m [c = y])) - s (S[b, y] - m)
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C K, F], the K vectors of a class side by side
 * @param labels - int32 [B], in [0, C)
 * @param options - `centers` K, default 1 (the papers' is 10), `scale` s, default 20, `gamma`, default 0.1, `margin` m, default 0.01; those of every loss
 * @returns as `marginSoftmaxLoss`; the paper's regulariser on the distances of the vectors is not part of it
 * @throws as `marginSoftmaxLoss`
 * @example
 *   softTripleLoss([[1, 0]], [[1, 0], [0.6, 0.8], [0, 1], [-1, 0]], [0], { centers: 2 });
 * Source: Qian et al., "SoftTriple Loss: Deep Metric Learning Without Triplet Sampling", ICCV 2019, eq. 6 to 8.
 */
export const softTripleLoss: ClassLoss<SoftTripleOptions> = /* @__PURE__ */ classLoss("softTripleLoss", ({ scale = 20, gamma = 0.1, margin = 0.01, centers = 1 }, { y, classes }, where) => {
  checkPositive(where, "scale", scale);
  checkPositive(where, "gamma", gamma);
  return (cosines, i, coefficient) => {
    const kept = Float64Array.from(cosines), shares = new Float64Array(kept.length), pooled = new Float64Array(classes), f = cosines.subarray(0, classes);
    for (let c = 0; c < classes; c++) {
      const from = c * centers, to = from + centers;
      let top = -Infinity, sum = 0;
      for (let k = from; k < to; k++) top = Math.max(top, kept[k]);
      for (let k = from; k < to; k++) sum += shares[k] = exp((kept[k] - top) / gamma);
      for (let k = from; k < to; k++) pooled[c] += (shares[k] /= sum) * kept[k];
    }
    f.set(pooled);
    const value = softmaxRow(f, y[i], scale, pooled[y[i]] - margin, coefficient);
    if (coefficient !== undefined) for (let k = kept.length; k-- > 0;) {
      const c = Math.floor(k / centers);
      cosines[k] = f[c] * shares[k] * (1 + (kept[k] - pooled[c]) / gamma);
    }
    return value;
  };
}, false);

/**
 * Proxy-NCA: a softmax over the squared distances of an embedding and of one proxy for each class, both at length 1.
 *
 *   loss[b] = log sum_c exp(-s |z - p_c|^2) - (-s |z - p_y|^2),   |z - p|^2 = 2 - 2 cos
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F], the proxies
 * @param labels - int32 [B], in [0, C)
 * @param options - `scale` s, default 1; `centers`; those of every loss
 * @returns as `marginSoftmaxLoss`: it is `normalizedSoftmaxLoss` at twice the scale. The label's proxy stands in the sum, as in Proxy-NCA++ and in libraries; in the first paper it does not
 * @throws as `marginSoftmaxLoss`
 * @example
 *   proxyNcaLoss([[1, 0]], [[1, 0], [0, 1]], [0]); // log(1 + exp(-2))
 * Source: Movshovitz-Attias et al., "No Fuss Distance Metric Learning using Proxies", ICCV 2017; Teh et al., "ProxyNCA++", ECCV 2020.
 */
export const proxyNcaLoss: ClassLoss<CosineSoftmaxOptions> = /* @__PURE__ */ classLoss("proxyNcaLoss", ({ scale = 1 }, batch, where) => softmaxOf({ scale: 2 * scale, target: (c) => [c, 1] }, batch, where));
