import { similarityPass } from "@logits/core-wasm/similarity";
import { checkPositive, defineLoss, rowWeights, Tensor, type LossOptions, type TensorLike } from "@logits/tensor";
import { takingPart, withoutIgnored } from "../labelled.ts";
import { classBatch, type ClassLoss } from "./classCosines.ts";
import { logSum } from "./tupleLoss.ts";

/** Options of `proxyAnchorLoss`. */
export interface ProxyAnchorOptions extends LossOptions {
  /** delta; default 0.1. */
  readonly margin?: number;
  /** alpha; default 32. */
  readonly scale?: number;
}

/**
 * Proxy-anchor loss: each class vector is an anchor and looks at the whole batch.
 *
 *   loss[c] = C / C+ log(1 + sum_{b of c} exp(-alpha (s[b, c] - delta))) + log(1 + sum_{b not of c} exp(alpha (s[b, c] + delta))),  s = cos, C+ the number of classes in the batch
 *
 * @param embeddings - float32 [B, F]
 * @param weights - float32 [C, F], the proxies
 * @param labels - int32 [B], in [0, C)
 * @param options - `margin` delta (0.1), `scale` alpha (32); those of every loss, with `weight` float32 [C], one for each class, and `where` uint8 [B]
 * @returns float32 [C] ("none") or []; the mean is the paper's loss. `withGrad`: `grads.embeddings` and `grads.weights`
 * @throws RangeError for shapes that do not fit, a label outside [0, C), a scale that is not above 0
 * @example
 *   proxyAnchorLoss([[1, 0]], [[1, 0], [0, 1]], [0], { scale: 1, margin: 0 }); // (2 log(1 + exp(-1)) + log 2) / 2
 * Source: Kim et al., "Proxy Anchor Loss for Deep Metric Learning", CVPR 2020, eq. 4.
 */
export const proxyAnchorLoss: ClassLoss<ProxyAnchorOptions> = /* @__PURE__ */ defineLoss("proxyAnchorLoss", 3, (where, args: [TensorLike, TensorLike, TensorLike], options: ProxyAnchorOptions) => {
  const { margin = 0.1, scale = 32, ignoreIndex } = options, { z, w, y, classes } = classBatch(where, args, ignoreIndex === undefined ? {} : { ignoreIndex });
  checkPositive(where, "scale", scale);
  const shares = withoutIgnored(rowWeights(where, z.shape[0], { where: options.where }), y, ignoreIndex), weights = rowWeights(where, classes, { weight: options.weight });
  const rows = takingPart(z.shape[0], shares), present = new Set(rows.map((i) => y[i])), all = Int32Array.from(rows, (_, j) => j);
  return {
    shape: [classes],
    ...(weights && { weights }),
    pass(coefficients) {
      const values = new Float64Array(classes), slopes = new Float64Array(rows.length);
      const grads = similarityPass({ data: w.data }, { data: z.data, rows }, z.shape[1], "cosine", (c, s) => {
        const share = classes / Math.max(1, present.size), own = all.filter((j) => y[rows[j]] === c), [near, addNear] = logSum(s, own, -scale, margin, 1), [far, addFar] = logSum(s, all.filter((j) => y[rows[j]] !== c), scale, -margin, 1);
        values[c] = share * near + far;
        if (coefficients === undefined) return;
        slopes.fill(0);
        addNear(slopes, coefficients[c] * share);
        addFar(slopes, coefficients[c]);
        s.set(slopes);
      }, coefficients !== undefined);
      return { values, gradients: () => ({ grads: { embeddings: new Tensor("float32", z.shape, grads!.right!), weights: new Tensor("float32", w.shape, grads!.left) } }) };
    },
  };
});
