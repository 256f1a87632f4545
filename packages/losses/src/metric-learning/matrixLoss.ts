import { similarityPass, type Similarity } from "@logits/core-wasm/similarity";
import { exp, softplus } from "@logits/statistics";
import { checkPositive, defineLoss, rangeError, rowWeights, Tensor, type LossOptions, type TensorLike } from "@logits/tensor";
import type { PairLoss } from "../pairs/pairLoss.ts";
import { takingPart, withoutIgnored } from "../labelled.ts";
import { checkChoice } from "../range.ts";
import { floats, integers } from "../shaped.ts";
import { sineCosine } from "./angle.ts";
import { AVERAGES, logSum } from "./tupleLoss.ts";

/** Options of losses that hold the matrix of distances. */
export interface SwapTripletOptions extends LossOptions {
  /** m; default 0.2. */
  readonly margin?: number;
  /** softplus in place of max(0, .). Default false. */
  readonly smooth?: boolean;
  /** Over which of an anchor's triplets is averaged: all, those above 0, or their sum. Default "all". */
  readonly average?: "all" | "nonZero" | "sum";
  /** "euclidean" or "squaredEuclidean". Default "euclidean". */
  readonly distance?: "euclidean" | "squaredEuclidean";
}

/** Options of `liftedStructureLoss`. */
export interface LiftedStructureOptions extends LossOptions {
  /** m; default 1. */
  readonly margin?: number;
  /** "euclidean" or "squaredEuclidean". Default "euclidean". */
  readonly distance?: "euclidean" | "squaredEuclidean";
}

/** Options of `angularLoss`. */
export interface AngularOptions extends LossOptions {
  /** alpha in radians, below pi / 2. Default pi / 4, 45 degrees. */
  readonly angle?: number;
}

/** Anchor a: its positives p and negatives n; values from rows of s, and with a coefficient slopes into the rows of g. */
type MatrixRow = (a: number, positives: Int32Array, negatives: Int32Array, s: readonly Float32Array[], g: readonly Float64Array[] | undefined, coefficient: number) => number;

/** Makes a loss whose anchors look at the distances of their positives too, or at their cosines: the matrix is held, N x N float32, and for the gradient as much in float64. Anchors need a positive and a negative. */
function matrixLoss<Options extends LossOptions & { readonly distance?: Similarity }>(name: string, distances: boolean, plan: (options: Options, where: string) => MatrixRow): PairLoss<Options> {
  return defineLoss(name, 2, (where, [embeddings, labels]: [TensorLike, TensorLike], options: Options) => {
    const z = floats(where, "embeddings", embeddings, ["N", "F"]), [n, features] = z.shape, y = integers(where, "labels", labels, [n]), measure = distances ? (options.distance ?? "euclidean") : "cosine";
    if (distances) checkChoice(where, "distance", measure, ["euclidean", "squaredEuclidean"]);
    const share = withoutIgnored(rowWeights(where, n, options), y.data, options.ignoreIndex), rows = takingPart(n, share), count = rows.length, all = Int32Array.from({ length: count }, (_, i) => i);
    const value = plan(options, where), lists = rows.map((at, i) => [all.filter((j) => j !== i && y.data[rows[j]] === y.data[at]), all.filter((j) => y.data[rows[j]] !== y.data[at])]), weights = new Float32Array(n);
    rows.forEach((at, i) => {
      if (lists[i].every((list) => list.length > 0)) weights[at] = share ? share[at] : 1;
    });
    return {
      shape: [n],
      weights,
      pass(coefficients) {
        const values = new Float64Array(n), s: Float32Array[] = [], g = coefficients && rows.map(() => new Float64Array(count));
        similarityPass({ data: z.data, rows }, undefined, features, measure, (_, row) => s.push(row.slice()), false);
        rows.forEach((at, i) => {
          if (s[i].some((x) => x !== x)) {
            values[at] = NaN;
            g?.[i].fill(NaN);
          } else if (weights[at] > 0) values[at] = value(i, lists[i][0], lists[i][1], s, g, coefficients ? coefficients[at] : 0);
        });
        return { values, gradients: () => ({ grad: new Tensor("float32", z.shape, similarityPass({ data: z.data, rows }, undefined, features, measure, (i, row) => row.set(g![i]), true)!.left) }) };
      },
    };
  });
}

/**
 * Triplet loss with swap: the negative's distance is that to the anchor or to the positive, whichever is smaller.
 *
 *   loss[i] = mean over the triplets (i, p, n) of max(0, d[i, p] - min(d[i, n], d[p, n]) + m), or of softplus(.) with `smooth`
 *
 * @param embeddings - float32 [N, F]; N x N distances are held, and every triplet is looked at
 * @param labels - int32 [N]
 * @param options - `margin` m (0.2), `smooth`, `average` ("all", "nonZero", "sum"), `distance` ("euclidean", "squaredEuclidean"); those of every loss
 * @returns as `tripletMarginLoss`
 * @throws RangeError for shapes that do not fit, weights or a mask that are none
 * @example
 *   swapTripletMarginLoss([[0, 0], [1, 0], [1.5, 0]], [0, 0, 1], { reduction: "none" }); // [0.7, 0.7, 0]
 * Source: Balntas et al., "Learning local feature descriptors with triplets and shallow convolutional neural networks", BMVC 2016, eq. 6.
 */
export const swapTripletMarginLoss: PairLoss<SwapTripletOptions> = /* @__PURE__ */ matrixLoss("swapTripletMarginLoss", true, ({ margin = 0.2, smooth = false, average = "all" }: SwapTripletOptions, where) => {
  checkChoice(where, "average", average, AVERAGES);
  return (a, positives, negatives, s, g, coefficient) => {
    let total = 0, above = 0;
    const each = (visit: (p: number, n: number, row: number, x: number) => void): void => {
      for (const p of positives) for (const n of negatives) {
        const row = s[p][n] < s[a][n] ? p : a;
        visit(p, n, row, s[a][p] - s[row][n] + margin);
      }
    };
    each((_, __, ___, x) => {
      total += smooth ? softplus(x) : Math.max(0, x);
      if (smooth || x > 0) above++;
    });
    const share = 1 / (average === "sum" ? 1 : Math.max(1, average === "all" ? positives.length * negatives.length : above));
    if (g) each((p, n, row, x) => {
      const slope = coefficient * share * (smooth ? 1 / (1 + exp(-x)) : x > 0 ? 1 : 0);
      g[a][p] += slope;
      g[row][n] -= slope;
    });
    return share * total;
  };
});

/**
 * Lifted structure loss: each positive pair against all negatives of both its ends.
 *
 *   loss[i] = mean_p 1/2 max(0, d[i, p] + log(sum_n exp(m - d[i, n]) + sum_n exp(m - d[p, n])))^2
 *
 * @param embeddings - float32 [N, F]; N x N distances are held
 * @param labels - int32 [N]
 * @param options - `margin` m (1), `distance` ("euclidean", "squaredEuclidean"); those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive or without a negative count for nothing. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit, weights or a mask that are none
 * @example
 *   liftedStructureLoss([[0, 0], [1, 0], [3, 0]], [0, 0, 1]);
 * Source: Oh Song et al., "Deep Metric Learning via Lifted Structured Feature Embedding", CVPR 2016, eq. 4.
 */
export const liftedStructureLoss: PairLoss<LiftedStructureOptions> = /* @__PURE__ */ matrixLoss("liftedStructureLoss", true, ({ margin = 1 }: LiftedStructureOptions) => (a, positives, negatives, s, g, coefficient) => {
  const own = logSum(s[a], negatives, -1, margin, 0);
  let value = 0, mine = 0;
  for (const p of positives) {
    const [there, add] = logSum(s[p], negatives, -1, margin, 0), [here] = own, x = Math.max(0, s[a][p] + here + softplus(there - here)), k = (coefficient * x) / positives.length, part = 1 / (1 + exp(there - here));
    value += (x * x) / 2 / positives.length;
    if (!g) continue;
    g[a][p] += k;
    add(g[p], k * (1 - part));
    mine += k * part;
  }
  if (g) own[1](g[a], mine);
  return value;
});

/**
 * Angular loss: the angle at the negative of the triangle that anchor, positive and negative make stays below a bound.
 *
 *   loss[i] = mean_p log(1 + sum_n exp(4 tan^2(alpha) (z[i] + z[p]) . z[n] - 2 (1 + tan^2(alpha)) z[i] . z[p])),  z at length 1
 *
 * @param embeddings - float32 [N, F], of any length; N x N cosines are held
 * @param labels - int32 [N]
 * @param options - `angle` alpha in radians (pi / 4); those of every loss
 * @returns float32 [N] ("none") or []; anchors without a positive or without a negative count for nothing. `withGrad`: `grad`
 * @throws RangeError for shapes that do not fit, an angle outside (0, pi / 2)
 * @example
 *   angularLoss([[1, 0], [0.8, 0.6], [0, 1]], [0, 0, 1]);
 * Source: Wang et al., "Deep Metric Learning with Angular Loss", ICCV 2017, eq. 8; 45 degrees as on its cars and birds.
 */
export const angularLoss: PairLoss<AngularOptions> = /* @__PURE__ */ matrixLoss("angularLoss", false, ({ angle = Math.PI / 4 }: AngularOptions, where) => {
  checkPositive(where, "angle", angle);
  if (angle >= Math.PI / 2) throw rangeError(where, "angle", "below pi / 2", `${angle}`);
  const [sine, cosine] = sineCosine(angle), square = (sine * sine) / (cosine * cosine);
  return (a, positives, negatives, s, g, coefficient) => {
    const both = new Float64Array(s[a].length), slopes = new Float64Array(both.length);
    let value = 0;
    for (const p of positives) {
      for (const n of negatives) both[n] = s[a][n] + s[p][n];
      const [all, add] = logSum(both, negatives, 4 * square, 0, 0), x = all - 2 * (1 + square) * s[a][p], k = coefficient / positives.length / (1 + exp(-x));
      value += softplus(x) / positives.length;
      if (!g) continue;
      slopes.fill(0);
      add(slopes, k);
      for (const n of negatives) {
        g[a][n] += slopes[n];
        g[p][n] += slopes[n];
      }
      g[a][p] -= 2 * (1 + square) * k;
    }
    return value;
  };
});
