import { matmul } from "@logits/core-wasm/gemm";
import { Tensor, defineLoss, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { sidesOf } from "../pairs/sidedLoss.ts";
import { checkRange } from "../range.ts";
import { batchWeights } from "./uniformityLoss.ts";

/** A loss of two views of a batch, with the gradients of both. */
export type ViewsLoss<Options extends LossOptions = LossOptions> = Loss<[first: TensorLike, second: TensorLike], Options, { readonly grads: { readonly first: Tensor<"float32">; readonly second: Tensor<"float32"> } }>;

/** Options of `vicRegLoss`. */
export interface VicRegLossOptions extends LossOptions {
  /** Weight of the squared difference of the views. Default 25. */
  readonly invariance?: number;
  /** Weight of the hinge on standard deviations. Default 25. */
  readonly variance?: number;
  /** Weight of the squared covariances. Default 1. */
  readonly covariance?: number;
}

/** Options of `barlowTwinsLoss`. */
export interface BarlowTwinsLossOptions extends LossOptions {
  /** lambda, the weight of correlations between different features, finite and not negative. Default 0.0051. */
  readonly redundancy?: number;
}

/** The rows that take part, each feature less its mean, and the mean square of each feature. */
function centred(x: Tensor<"float32">, rows: readonly number[]): { z: Tensor<"float32">; squares: Float64Array } {
  const features = x.shape[1], z = new Float32Array(rows.length * features), squares = new Float64Array(features), count = rows.length;
  for (let f = 0; f < features; f++) {
    let mean = 0;
    for (const i of rows) mean += x.data[i * features + f] / count;
    rows.forEach((i, k) => {
      const d = x.data[i * features + f] - mean;
      z[k * features + f] = d;
      squares[f] += (d * d) / count;
    });
  }
  return { z: new Tensor("float32", [count, features], z), squares };
}

/** Makes a loss with one value of the centred rows of both views; `plan` adds to the gradients of the centred rows, which are then taken less their mean and put in their places. */
function viewsLoss<Options extends LossOptions>(
  name: string,
  plan: (options: Options, where: string) => (a: ReturnType<typeof centred>, b: ReturnType<typeof centred>, coefficient: number | undefined, da: Float64Array, db: Float64Array, raw: (k: number, f: number) => number) => number,
): ViewsLoss<Options> {
  return defineLoss(name, 2, (where, [first, second]: [TensorLike, TensorLike], options: Options) => {
    const { left, right } = sidesOf(where, ["first", "second"], first, second, {}, false), [n, features] = left.shape, { rows, weights } = batchWeights(where, n, options, 2), loss = plan(options, where);
    return {
      shape: [1],
      weights,
      pass(coefficients) {
        const size = rows.length * features, da = new Float64Array(size), db = new Float64Array(size), raw = (k: number, f: number): number => left.data[rows[k] * features + f] - right.data[rows[k] * features + f];
        const value = weights[0] === 0 ? 0 : loss(centred(left, rows), centred(right, rows), coefficients?.[0], da, db, raw);
        const spread = (d: Float64Array, like: Tensor<"float32">): Tensor<"float32"> => {
          const out = new Float32Array(like.size);
          rows.forEach((i, k) => out.set(d.subarray(k * features, (k + 1) * features), i * features));
          return new Tensor("float32", like.shape, out);
        };
        return { values: Float64Array.of(value), gradients: () => ({ grads: { first: spread(da, left), second: spread(db, right) } }) };
      },
    };
  });
}

/**
 * VICReg: views agree, features vary, features do not covary.
 *
 *   loss = invariance mse(x, y) + variance sum_{z in x, y} mean_f max(0, 1 - sqrt(var_f(z) + 1e-4)) / 2 + covariance sum_{z in x, y} sum_{f != g} cov_fg(z)^2 / F
 *
 * var and cov divide by N - 1. Lengths are not taken to 1. A standard deviation of exactly 1 gets the gradient 0.
 *
 * @param first - float32 [N, F], F at least 1: one view of each sample
 * @param second - float32 [N, F]: the other
 * @param options - `invariance` 25, `variance` 25, `covariance` 1; `reduction` of this one value, `weight` [1], `where` [N]: rows that take part
 * @returns float32 [1] ("none") or []; `grads.first`, `grads.second`. Fewer than two rows: 0
 * @throws RangeError for other shapes, a weight that is negative or not finite
 * @example
 *   vicRegLoss([[1], [-1]], [[1], [-1]]); // 0: the standard deviation is above 1
 * Source: Bardes, Ponce, LeCun, "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning", ICLR 2022, equations 1 to 6.
 */
export const vicRegLoss: ViewsLoss<VicRegLossOptions> = /* @__PURE__ */ viewsLoss("vicRegLoss", ({ invariance = 25, variance = 25, covariance = 1 }, where) => {
  for (const [name, weight] of Object.entries({ invariance, variance, covariance })) checkRange(where, name, weight, 0);
  return (a, b, coefficient, da, db, raw) => {
    const [count, features] = a.z.shape, size = count * features;
    let value = 0;
    for (let k = 0, at = 0; k < count; k++) {
      for (let f = 0; f < features; f++, at++) {
        const d = raw(k, f);
        value += (invariance * d * d) / size;
        if (coefficient === undefined) continue;
        da[at] += (2 * coefficient * invariance * d) / size;
        db[at] -= (2 * coefficient * invariance * d) / size;
      }
    }
    for (const [{ z, squares }, out] of [[a, da], [b, db]] as const) {
      const cov = matmul(z, z, { transposeA: true });
      for (let f = 0; f < features; f++) {
        const deviation = Math.sqrt((squares[f] * count) / (count - 1) + 1e-4);
        if (deviation < 1) {
          value += (variance * (1 - deviation)) / (2 * features);
          if (coefficient !== undefined) for (let at = f; at < size; at += features) out[at] -= (coefficient * variance * z.data[at]) / (2 * features * deviation * (count - 1));
        }
        for (let g = 0; g < features; g++) {
          const at = f * features + g, v = f === g ? 0 : cov.data[at] / (count - 1);
          value += (covariance * v * v) / features;
          cov.data[at] = v;
        }
      }
      if (coefficient !== undefined) matmul(z, cov).data.forEach((v, at) => (out[at] += (4 * coefficient * covariance * v) / (features * (count - 1))));
    }
    return value;
  };
});

/**
 * Barlow Twins: the cross-correlation of the two views is the identity.
 *
 *   loss = sum_f (1 - C_ff)^2 + lambda sum_{f != g} C_fg^2,   C = x' y / N with every feature of both at mean 0 and variance 1 over the batch (divided by N, plus 1e-5)
 *
 * @param first - float32 [N, F], F at least 1: one view of each sample
 * @param second - float32 [N, F]: the other
 * @param options - `redundancy` lambda; `reduction` of this one value, `weight` [1], `where` [N]: rows that take part
 * @returns float32 [1] ("none") or []; `grads.first`, `grads.second`. Fewer than two rows: 0
 * @throws RangeError for other shapes, a lambda that is negative or not finite
 * @example
 *   barlowTwinsLoss([[1], [-1]], [[-1], [1]]); // 4: the correlation is -1
 * Source: Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction", ICML 2021, equation 1; lambda and the batch normalisation from the authors' code.
 */
export const barlowTwinsLoss: ViewsLoss<BarlowTwinsLossOptions> = /* @__PURE__ */ viewsLoss("barlowTwinsLoss", ({ redundancy = 0.0051 }, where) => {
  checkRange(where, "redundancy", redundancy, 0);
  return (a, b, coefficient, da, db) => {
    const [count, features] = a.z.shape, sides = [a, b], scales = sides.map(({ z, squares }) => {
      const scale = squares.map((v) => 1 / Math.sqrt(v + 1e-5));
      for (let at = 0; at < z.size; at++) z.data[at] *= scale[at % features];
      return scale;
    });
    const c = matmul(a.z, b.z, { transposeA: true });
    let value = 0;
    for (let f = 0; f < features; f++) {
      for (let g = 0; g < features; g++) {
        const at = f * features + g, v = c.data[at] / count;
        value += f === g ? (1 - v) * (1 - v) : redundancy * v * v;
        c.data[at] = f === g ? 2 * (v - 1) : 2 * redundancy * v;
      }
    }
    if (coefficient !== undefined) {
      const grads = [matmul(b.z, c, { transposeB: true }), matmul(a.z, c)];
      grads.forEach(({ data }, side) => {
        const out = side === 0 ? da : db, { z } = sides[side], scale = scales[side];
        // Through mean and variance of the batch: d = scale (g - mean(g) - z mean(g z)).
        for (let f = 0; f < features; f++) {
          let mean = 0, along = 0;
          for (let at = f; at < data.length; at += features) {
            mean += data[at] / count;
            along += (data[at] * z.data[at]) / count;
          }
          for (let at = f; at < data.length; at += features) out[at] = (coefficient * scale[f] * (data[at] - mean - z.data[at] * along)) / count;
        }
      });
    }
    return value;
  };
});
