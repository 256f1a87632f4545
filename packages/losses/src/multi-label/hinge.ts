import type { LossOptions } from "@logits/tensor";
import { elementLoss, times, type ElementLoss } from "../elementLoss.ts";
import { hingeOf } from "./multiclassHinge.ts";

/** Options of the hinge losses. */
export interface HingeOptions extends LossOptions {
  /** How far on the right side a score must lie to cost nothing. Default 1. */
  readonly margin?: number;
  /** 1 (default), or 2: squared, as an L2-SVM. */
  readonly power?: 1 | 2;
}

/** A loss of m = (2 t - 1) score, from its value and its derivative. */
function marginLoss<Options extends LossOptions>(name: string, terms: (options: Options, where: string) => readonly [value: (m: number) => number, slope: (m: number) => number]): ElementLoss<Options> {
  return elementLoss(name, (options: Options, where) => {
    const [value, slope] = terms(options, where);
    return { value: (x, t) => value((2 * t - 1) * x), slope: (x, t) => (2 * t - 1) * slope((2 * t - 1) * x) };
  }, [0, 1], "scores");
}

/**
 * Hinge loss of a binary decision; with `power` 2 that of an L2-SVM.
 *
 *   loss[i] = max(0, margin - s x)^power,   s = 2 targets[i] - 1
 *
 * @param scores - float32, any shape: signed distances from the boundary
 * @param targets - float32, the same shape: 1 or 0 (between them, s shrinks)
 * @param options - those of every loss; `margin` (1), `power` (1)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`; 0 on the margin
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   hingeLoss([0.5, -2], [1, 0], { power: 2 }); // (0.25 + 0) / 2
 * Source: Cortes and Vapnik, "Support-vector networks", 1995; squared: Tang, "Deep learning using linear support vector machines", 2013.
 */
export const hingeLoss: ElementLoss<HingeOptions> = /* @__PURE__ */ marginLoss("hingeLoss", ({ margin = 1, power = 1 }: HingeOptions, where) => {
  const [value, slope] = hingeOf(where, margin, power);
  return [(m) => value(margin - m), (m) => -slope(margin - m)];
});

/**
 * Modified Huber loss of a binary decision: quadratic to the margin, linear beyond -1, so that outliers pull less than with the squared hinge.
 *
 *   loss[i] = 0 for m >= 1,   (1 - m)^2 for m >= -1,   -4 m below,   m = (2 targets[i] - 1) scores[i]
 *
 * @param scores - float32, any shape
 * @param targets - float32, the same shape: 1 or 0
 * @param options - those of every loss
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   modifiedHuberLoss([0.5, 2], [1, 0]); // (0.25 + 8) / 2
 * Source: Zhang, "Solving large scale linear prediction problems using stochastic gradient descent algorithms", ICML 2004.
 */
export const modifiedHuberLoss: ElementLoss = /* @__PURE__ */ marginLoss("modifiedHuberLoss", () => [(m) => (m < -1 ? -4 * m : Math.max(0, 1 - m) ** 2), (m) => (m < -1 ? -4 : -2 * Math.max(0, 1 - m))]);

/**
 * The loss of a perceptron: how far a score lies on the wrong side.
 *
 *   loss[i] = max(0, -(2 targets[i] - 1) scores[i])
 *
 * @param scores - float32, any shape
 * @param targets - float32, the same shape: 1 or 0
 * @param options - those of every loss
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`; 0 at score 0
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   perceptronLoss([0.5, 2], [1, 0]); // (0 + 2) / 2
 * Source: Rosenblatt, 1958.
 */
export const perceptronLoss: ElementLoss = /* @__PURE__ */ marginLoss("perceptronLoss", () => [(m) => Math.max(0, -m), (m) => (m >= 0 ? 0 : m < 0 ? -1 : m)]);

/**
 * Hinge embedding loss: distances of similar pairs count, those of others as far as they are below the margin.
 *
 *   loss[i] = x where target 1,   max(0, margin - x)^power where 0
 *
 * @param distances - float32, any shape
 * @param targets - float32, the same shape: 1 similar, 0 not
 * @param options - those of every loss; `margin` (1), `power` (1)
 * @returns float32 of that shape ("none") or []. `withGrad`: `grad`
 * @throws RangeError for shapes that differ or a target outside [0, 1]
 * @example
 *   hingeEmbeddingLoss([0.25, 0.25], [1, 0]); // (0.25 + 0.75) / 2
 * Source: Hadsell, Chopra, LeCun, CVPR 2006, without the squares.
 */
export const hingeEmbeddingLoss: ElementLoss<HingeOptions> = /* @__PURE__ */ elementLoss("hingeEmbeddingLoss", ({ margin = 1, power = 1 }: HingeOptions, where) => {
  const [value, slope] = hingeOf(where, margin, power);
  return { value: (x, t) => times(t, x) + times(1 - t, value(margin - x)), slope: (x, t) => t - (1 - t) * slope(margin - x) };
}, [0, 1], "distances");
