import { similarityPass } from "@logits/core-wasm/similarity";
import { exp, log, log1p } from "@logits/statistics";
import { checkPositive, defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { takingPart } from "../labelled.ts";
import { floats } from "../shaped.ts";

/** Options of `metrixLoss`. */
export interface MetrixOptions extends LossOptions {
  /** Sharpness on positives. Default 2. */
  readonly alpha?: number;
  /** Sharpness on negatives. Default 50. */
  readonly beta?: number;
  /** lambda, the cosine between positives and negatives. Default 0.5. */
  readonly base?: number;
}

/**
 * Multi-similarity of anchors with mixed embeddings, each of which agrees with an anchor to a degree (Metrix).
 *
 *   loss[i] = 1/alpha log(1 + sum_j a[i, j] exp(-alpha (s[i, j] - lambda))) + 1/beta log(1 + sum_j (1 - a[i, j]) exp(beta (s[i, j] - lambda))),  s = cos
 *
 * @param embeddings - float32 [N, F], the anchors
 * @param mixed - float32 [M, F], mixtures t x + (1 - t) x' of embeddings, inputs or features of them
 * @param agreement - float32 [N, M] in [0, 1]: t [label of x = that of the anchor] + (1 - t) [label of x' = that of the anchor]; 0 and 1 give multi-similarity without mining
 * @param options - `alpha` (2), `beta` (50), `base` lambda (0.5); those of every loss
 * @returns float32 [N] ("none") or []. `withGrad`: `grads.embeddings`, and `grads.mixed`, which goes on through the mixture: t of it to x, 1 - t to x'
 * @throws RangeError for shapes that do not fit, an agreement outside [0, 1], an alpha or beta that is not above 0
 * @example
 *   metrixLoss([[1, 0]], [[0.6, 0.8]], [[0.5]], { beta: 2 });
 * Source: Venkataramanan et al., "It Takes Two to Tango: Mixup for Deep Metric Learning", ICLR 2022, eq. 8 with the multi-similarity of its table 1.
 */
export const metrixLoss: Loss<[embeddings: TensorLike, mixed: TensorLike, agreement: TensorLike], MetrixOptions, { readonly grads: { readonly embeddings: Tensor<"float32">; readonly mixed: Tensor<"float32"> } }> =
  /* @__PURE__ */ defineLoss("metrixLoss", 3, (where, [embeddings, mixed, agreement]: [TensorLike, TensorLike, TensorLike], options: MetrixOptions) => {
    const { alpha = 2, beta = 50, base = 0.5 } = options, z = floats(where, "embeddings", embeddings, ["N", "F"]), [n, features] = z.shape, r = floats(where, "mixed", mixed, ["M", features]), [m] = r.shape, a = floats(where, "agreement", agreement, [n, m]);
    checkPositive(where, "alpha", alpha);
    checkPositive(where, "beta", beta);
    const weights = rowWeights(where, n, options), rows = takingPart(n, weights);
    for (const i of rows) for (let j = i * m; j < (i + 1) * m; j++) if (!(a.data[j] >= 0 && a.data[j] <= 1)) throw rangeError(where, "agreement", "in [0, 1]", `${a.data[j]} in row ${i}, column ${j % m}`);
    return {
      shape: [n],
      ...(weights && { weights }),
      pass(coefficients) {
        const values = new Float64Array(n);
        const grads = similarityPass({ data: z.data, rows }, { data: r.data }, features, "cosine", (at, s) => {
          const i = rows[at], given = s.slice();
          if (coefficients) s.fill(0);
          for (const scale of [-alpha, beta]) {
            const size = Math.abs(scale), degree = (j: number): number => (scale < 0 ? a.data[i * m + j] : 1 - a.data[i * m + j]);
            let top = 0, sum = 0;
            for (const v of given) top = Math.max(top, scale * (v - base));
            for (let j = 0; j < m; j++) sum += degree(j) * exp(scale * (given[j] - base) - top);
            const all = sum + exp(-top);
            values[i] += (top === 0 ? log1p(sum) : top + log(all)) / size;
            if (coefficients) for (let j = 0; j < m; j++) s[j] += ((coefficients[i] * Math.sign(scale)) / all) * degree(j) * exp(scale * (given[j] - base) - top);
          }
        }, coefficients !== undefined);
        return { values, gradients: () => ({ grads: { embeddings: new Tensor("float32", z.shape, grads!.left), mixed: new Tensor("float32", r.shape, grads!.right!) } }) };
      },
    };
  });
