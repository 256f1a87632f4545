import { sigmoidRow } from "@logits/core-wasm/similarity";
import { exp, softplus } from "@logits/statistics";
import { Tensor, defineLoss, rangeError, type Loss, type TensorLike } from "@logits/tensor";
import { crossEntropyRow } from "../pairs/rows.ts";
import { sidedPass, sidedPlan, sidesOf, similarityOf, type SidedLossOptions } from "../pairs/sidedLoss.ts";

/** Options of `clipLoss`. */
export interface ClipLossOptions extends SidedLossOptions {
  /** Log of the scale of the logits, in [-80, 80]; CLIP learns it and keeps it at log 100 at most. Default log(1 / 0.07). */
  readonly logScale?: number;
}

/** Options of `sigLipLoss`. */
export interface SigLipLossOptions extends ClipLossOptions {
  /** What is added to every logit, finite. Default -10. `logScale` is log 10 by default here. */
  readonly bias?: number;
}

interface ImageTextGradients {
  readonly images: Tensor<"float32">;
  readonly texts: Tensor<"float32">;
  /** Shape []. */
  readonly logScale: Tensor<"float32">;
}

const scalar = (x: number): Tensor<"float32"> => new Tensor("float32", [], Float32Array.of(x));

function scaleOf(where: string, logScale: number): number {
  if (!(Math.abs(logScale) <= 80)) throw rangeError(where, "logScale", "in [-80, 80]", `${logScale}`);
  return exp(logScale);
}

/** sum_j g[j] s[j]: what a row adds to the gradient of the log of the scale. */
function along(g: Float32Array, s: Float32Array): number {
  let sum = 0;
  for (let j = 0; j < g.length; j++) sum += g[j] * s[j];
  return sum;
}

/**
 * Symmetric contrastive loss of CLIP: each image must find its text and each text its image.
 *
 *   loss[i] = 1/2 (-log softmax_j(s cos(x_i, y_j))[i] - log softmax_j(s cos(x_j, y_i))[i]),   s = exp(logScale)
 *
 * @param images - float32 [N, F], F at least 1
 * @param texts - float32 [N, F]; text i belongs to image i
 * @param options - `logScale`, `similarity`; `reduction` over pairs, `weight`, `where` [N]: a pair that takes no part is nobody's negative
 * @returns float32 [N] ("none") or []; `grads.images`, `grads.texts`, `grads.logScale` []. One pair: 0
 * @throws RangeError for other shapes, a log of the scale outside [-80, 80]
 * @example
 *   clipLoss([[1, 0], [0, 1]], [[1, 0], [0, 1]], { logScale: 0 }); // log(1 + 1 / e)
 * Source: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, figure 3.
 */
export const clipLoss: Loss<[images: TensorLike, texts: TensorLike], ClipLossOptions, { readonly grads: ImageTextGradients }> = /* @__PURE__ */ defineLoss("clipLoss", 2, (where, [images, texts]: [TensorLike, TensorLike], options: ClipLossOptions) => {
  const { logScale = 2.659260036932778 } = options, similarity = similarityOf(where, options), sides = sidesOf(where, ["images", "texts"], images, texts, options, false), scale = scaleOf(where, logScale);
  const n = sides.rows.length, q = new Float64Array(n), d = new Uint8Array(n).fill(1), kept = new Float32Array(n);
  let slope = 0;
  const row = (i: number, s: Float32Array, coefficient: number | undefined): number => {
    if (i === 0) q.fill(0);
    else q[i - 1] = 0;
    q[i] = 1;
    kept.set(s);
    const value = crossEntropyRow(s, scale, q, d, coefficient === undefined ? undefined : coefficient / 2) / 2;
    if (coefficient !== undefined) slope += along(s, kept);
    return value;
  };
  return sidedPlan(sides, (values, coefficients) => {
    slope = 0;
    const one = sidedPass(sides, similarity, row, values, coefficients), other = sidedPass({ ...sides, left: sides.right, right: sides.left }, similarity, row, values, coefficients);
    if (!one || !other) return undefined;
    for (const [a, b] of [[one[0], other[1]], [one[1], other[0]]]) for (let k = 0; k < a.length; k++) a[k] += b[k];
    return one;
  }, (a, b) => ({ grads: { images: a, texts: b, logScale: scalar(slope) } }));
});

/**
 * Sigmoid loss of SigLIP: every pair of an image and a text is a binary question of its own.
 *
 *   loss[i] = -sum_j log sigmoid(z_ij (s cos(x_i, y_j) + bias)),   z_ij = 1 where i = j, else -1,   s = exp(logScale)
 *
 * @param images - float32 [N, F], F at least 1
 * @param texts - float32 [N, F]; text i belongs to image i
 * @param options - `logScale` (default log 10), `bias` (default -10), `similarity`; `reduction` over images, `weight`, `where` [N]: a pair that takes no part is nobody's negative
 * @returns float32 [N] ("none") or []; `grads.images`, `grads.texts`, `grads.logScale` [], `grads.bias` []
 * @throws RangeError for other shapes, a log of the scale outside [-80, 80], a bias that is not finite
 * @example
 *   sigLipLoss([[1, 0]], [[1, 0]]); // log(2): 10 - 10 = 0
 * Source: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", ICCV 2023, section 3.2.
 */
export const sigLipLoss: Loss<[images: TensorLike, texts: TensorLike], SigLipLossOptions, { readonly grads: ImageTextGradients & { readonly bias: Tensor<"float32"> } }> = /* @__PURE__ */ defineLoss("sigLipLoss", 2, (where, [images, texts]: [TensorLike, TensorLike], options: SigLipLossOptions) => {
  const { logScale = 2.302585092994046, bias = -10 } = options, similarity = similarityOf(where, options), sides = sidesOf(where, ["images", "texts"], images, texts, options, false), scale = scaleOf(where, logScale);
  if (!(Math.abs(bias) < Infinity)) throw rangeError(where, "bias", "finite", `${bias}`);
  const kept = new Float32Array(sides.rows.length);
  let slope = 0, shift = 0;
  return sidedPlan(sides, (values, coefficients) => {
    slope = shift = 0;
    return sidedPass(sides, similarity, (i, s, coefficient) => {
      const own = scale * s[i] + bias;
      kept.set(s);
      s[i] = -Infinity;
      const value = sigmoidRow(s, scale, bias) + softplus(-own);
      if (coefficient !== undefined) {
        s[i] = -exp(-softplus(own));
        for (let j = 0; j < s.length; j++) {
          shift += coefficient * s[j];
          s[j] *= coefficient * scale;
        }
        slope += along(s, kept);
      }
      return value;
    }, values, coefficients);
  }, (a, b) => ({ grads: { images: a, texts: b, logScale: scalar(slope), bias: scalar(shift) } }));
});
