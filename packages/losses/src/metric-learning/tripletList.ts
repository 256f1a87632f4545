import { exp, softplus } from "@logits/statistics";
import { defineLoss, rangeError, rowWeights, Tensor, type Loss, type LossOptions, type TensorLike } from "@logits/tensor";
import { checkChoice } from "../range.ts";
import { floats, integers } from "../shaped.ts";

/** Options of `tripletListLoss`. */
export interface TripletListOptions extends LossOptions {
  /** m; default 0.2. */
  readonly margin?: number;
  /** softplus in place of max(0, .). Default false. */
  readonly smooth?: boolean;
  /** "euclidean" or "squaredEuclidean". Default "euclidean". */
  readonly distance?: "euclidean" | "squaredEuclidean";
}

/**
 * Triplet loss of triplets that were chosen: by a miner, or by people.
 *
 *   loss[t] = max(0, d[a, p] - d[a, n] + m), or softplus(.) with `smooth`
 *
 * @param embeddings - float32 [N, F]
 * @param triplets - int32 [T, 3], rows anchor, positive, negative
 * @param options - `margin` m (0.2), `smooth`, `distance` ("euclidean", "squaredEuclidean"); those of every loss, one value per triplet
 * @returns float32 [T] ("none") or []. `withGrad`: `grad`, the shape of the embeddings; at a distance of 0 its part is 0
 * @throws RangeError for shapes that do not fit, a row outside [0, N)
 * @example
 *   tripletListLoss([[0, 0], [1, 0], [0.5, 0]], [[0, 1, 2]]); // 1 - 0.5 + 0.2
 * Source: Schroff, Kalenichenko, Philbin, "FaceNet", CVPR 2015, eq. 3.
 */
export const tripletListLoss: Loss<[embeddings: TensorLike, triplets: TensorLike], TripletListOptions> = /* @__PURE__ */ defineLoss("tripletListLoss", 2, (where, [embeddings, triplets]: [TensorLike, TensorLike], options: TripletListOptions) => {
  const { margin = 0.2, smooth = false, distance = "euclidean" } = options, z = floats(where, "embeddings", embeddings, ["N", "F"]), t = integers(where, "triplets", triplets, ["T", 3]);
  const [n, features] = z.shape, [count] = t.shape, weights = rowWeights(where, count, options), root = distance === "euclidean";
  checkChoice(where, "distance", distance, ["euclidean", "squaredEuclidean"]);
  t.data.forEach((row, k) => {
    if (row < 0 || row >= n) throw rangeError(where, "triplets", `rows in [0, ${n})`, `${row} in triplet ${Math.floor(k / 3)}`);
  });
  const far = (i: number, j: number): number => {
    let square = 0;
    for (let f = 0; f < features; f++) square += (z.data[i * features + f] - z.data[j * features + f]) * (z.data[i * features + f] - z.data[j * features + f]);
    return root ? Math.sqrt(square) : square;
  };
  return {
    shape: [count],
    ...(weights && { weights }),
    pass(coefficients) {
      const values = new Float64Array(count), grad = new Float64Array(coefficients ? z.size : 0);
      const move = (i: number, j: number, d: number, slope: number): void => {
        const k = root ? (d === 0 ? 0 : slope / d) : 2 * slope;
        for (let f = 0; f < features; f++) {
          const step = k * (z.data[i * features + f] - z.data[j * features + f]);
          grad[i * features + f] += step;
          grad[j * features + f] -= step;
        }
      };
      for (let k = 0; k < count; k++) {
        if (weights?.[k] === 0) continue;
        const [a, p, n] = t.data.subarray(3 * k, 3 * k + 3), near = far(a, p), wide = far(a, n), x = near - wide + margin;
        values[k] = smooth ? softplus(x) : Math.max(0, x);
        const slope = (coefficients?.[k] ?? 0) * (smooth ? 1 / (1 + exp(-x)) : x > 0 ? 1 : 0);
        if (slope === 0) continue;
        move(a, p, near, slope);
        move(a, n, wide, -slope);
      }
      return { values, gradients: () => ({ grad: new Tensor("float32", z.shape, Float32Array.from(grad)) }) };
    },
  };
});
