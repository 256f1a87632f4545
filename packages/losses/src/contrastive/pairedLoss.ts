import { pow } from "@logits/statistics";
import { Tensor, checkPositive, defineLoss, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { sidesOf } from "../pairs/sidedLoss.ts";

/** Squared distance of two vectors at length 1, and its gradients. */
export interface Paired {
  /** |x / |x| - y / |y||^2, float64: it keeps its digits where both nearly agree. 2 where one is zero. */
  readonly square: number;
  /** Adds `slope` times the gradients of the square with respect to x and to y to `to` and `other`. */
  push(slope: number, to: Float32Array, other: Float32Array): void;
}

/** Row i of both sides. */
export function pairedRow(x: Float32Array, y: Float32Array, i: number, features: number): Paired {
  const from = i * features;
  let xx = 0, yy = 0, square = 0, dot = 0;
  for (let at = from; at < from + features; at++) {
    xx += x[at] * x[at];
    yy += y[at] * y[at];
  }
  const a = xx === 0 ? 0 : 1 / Math.sqrt(xx), b = yy === 0 ? 0 : 1 / Math.sqrt(yy);
  for (let at = from; at < from + features; at++) {
    const u = a * x[at], v = b * y[at], d = u - v;
    square += d * d;
    dot += u * v;
  }
  return {
    square: a === 0 || b === 0 ? 2 : square,
    push(slope, to, other) {
      for (let at = from; at < from + features; at++) {
        const u = a * x[at], v = b * y[at];
        to[at] += 2 * slope * a * (dot * u - v);
        other[at] += 2 * slope * b * (dot * v - u);
      }
    },
  };
}

/**
 * Makes a loss of the squared distance d of two rows at length 1: its value, and where d is not 0 its derivative. `gradients` names them.
 */
function pairedLoss<Options extends LossOptions, Gradients extends object>(
  name: string,
  names: readonly [string, string],
  plan: (options: Options, where: string) => (d: number) => [value: number, slope: number],
  gradients: (first: Tensor<"float32">, second: Tensor<"float32">) => Gradients,
): Loss<[TensorLike, TensorLike], Options, Gradients> {
  return defineLoss(name, 2, (where, [first, second]: [TensorLike, TensorLike], options: Options) => {
    const { left, right, rows, weights } = sidesOf(where, names, first, second, options, false), [n, features] = left.shape, of = plan(options, where);
    return {
      shape: [n],
      weights,
      pass(coefficients) {
        const values = new Float64Array(n), a = new Float32Array(left.size), b = new Float32Array(right.size);
        for (const i of rows) {
          const { square, push } = pairedRow(left.data, right.data, i, features), [value, slope] = of(square);
          values[i] = value;
          if (coefficients && square !== 0) push(coefficients[i] * slope, a, b);
        }
        return { values, gradients: () => gradients(new Tensor("float32", left.shape, a), new Tensor("float32", right.shape, b)) };
      },
    };
  });
}

/** Options of `alignmentLoss`. */
export interface AlignmentLossOptions extends LossOptions {
  /** The power of the distance, above 0. Default 2. */
  readonly alpha?: number;
}

/**
 * Alignment: how far the two views of a sample lie apart on the unit sphere.
 *
 *   loss[i] = |x_i - y_i|^alpha, both at length 1
 *
 * @param first - float32 [N, F], F at least 1
 * @param second - float32 [N, F]
 * @param options - `alpha`; `reduction` over rows, `weight`, `where` [N]
 * @returns float32 [N] ("none") or [], in [0, 2^alpha]; `grads.first`, `grads.second`. At distance 0 the gradient is 0; a vector of zeros is at distance sqrt(2) from everything, with a gradient of 0
 * @throws RangeError for other shapes, an alpha that is not above 0
 * @example
 *   alignmentLoss([[1, 0]], [[0, 2]]); // 2
 * Source: Wang, Isola, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the Hypersphere", ICML 2020, section 4.1.
 */
export const alignmentLoss: Loss<[first: TensorLike, second: TensorLike], AlignmentLossOptions, { readonly grads: { readonly first: Tensor<"float32">; readonly second: Tensor<"float32"> } }> =
  /* @__PURE__ */ pairedLoss("alignmentLoss", ["first", "second"], ({ alpha = 2 }: AlignmentLossOptions, where) => {
    checkPositive(where, "alpha", alpha);
    return (d) => {
      const value = pow(d, alpha / 2);
      return [value, (alpha * value) / (2 * d)];
    };
  }, (first, second) => ({ grads: { first, second } }));

/** A loss of predictions and targets with the gradient of the predictions: the targets are constants, as in the papers. */
export type PredictionLoss = Loss<[predictions: TensorLike, targets: TensorLike], LossOptions>;

const prediction = (name: string, factor: number, offset: number): PredictionLoss => pairedLoss(name, ["predictions", "targets"], () => (d) => [factor * d + offset, factor], (grad) => ({ grad }));

/**
 * Loss of BYOL: the squared distance of prediction and target on the unit sphere. The target is a constant (stop-gradient). For the paper's loss add it with the views exchanged.
 *
 *   loss[i] = |p_i / |p_i| - t_i / |t_i||^2 = 2 - 2 cos(p_i, t_i)
 *
 * @param predictions - float32 [N, F], F at least 1
 * @param targets - float32 [N, F], of the slowly moving encoder
 * @param options - `reduction` over rows, `weight`, `where` [N]
 * @returns float32 [N] ("none") or [], in [0, 4]; `grad` [N, F] of the predictions. A vector of zeros: 2, with a gradient of 0
 * @throws RangeError for other shapes
 * @example
 *   byolLoss([[1, 0]], [[0, 2]]); // 2
 * Source: Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020, equation 2.
 */
export const byolLoss: PredictionLoss = /* @__PURE__ */ prediction("byolLoss", 1, 0);

/**
 * Loss of SimSiam: the negative cosine of prediction and target. The target is a constant (stop-gradient). For the paper's loss take the mean with the views exchanged.
 *
 *   loss[i] = -cos(p_i, t_i)
 *
 * @param predictions - float32 [N, F], F at least 1
 * @param targets - float32 [N, F], the projections of the other view
 * @param options - `reduction` over rows, `weight`, `where` [N]
 * @returns float32 [N] ("none") or [], in [-1, 1]; `grad` [N, F] of the predictions. A vector of zeros: 0, with a gradient of 0
 * @throws RangeError for other shapes
 * @example
 *   simSiamLoss([[1, 0]], [[2, 0]]); // -1
 * Source: Chen, He, "Exploring Simple Siamese Representation Learning", CVPR 2021, equation 1.
 */
export const simSiamLoss: PredictionLoss = /* @__PURE__ */ prediction("simSiamLoss", 0.5, -1);
