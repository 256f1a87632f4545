import { similarityPass, type Similarity } from "@logits/core-wasm/similarity";
import { exp, log } from "@logits/statistics";
import { asFloat32, Tensor, type RandomSource, type TensorLike } from "@logits/tensor";
import { checkChoice } from "../range.ts";
import { floats, integers } from "../shaped.ts";
import { extreme } from "./triplet.ts";
import { minedPairs } from "./weightedPairs.ts";

/** Pairs that a miner chose: anchors and partners by index. */
export interface MinedPairs {
  /** int32 [P, 2], anchor and positive. */
  readonly positives: Tensor<"int32">;
  /** int32 [Q, 2], anchor and negative. */
  readonly negatives: Tensor<"int32">;
}

/** Visits each row with its distances or similarities, and its positives and negatives. */
function mine(where: string, embeddings: TensorLike, labels: TensorLike, similarity: Similarity, visit: (i: number, x: Float32Array, positives: Int32Array, negatives: Int32Array) => void): number {
  const z = floats(where, "embeddings", embeddings, ["N", "F"]), [n, features] = z.shape, y = integers(where, "labels", labels, [n]), all = Int32Array.from({ length: n }, (_, j) => j);
  similarityPass({ data: z.data }, undefined, features, similarity, (i, row) => visit(i, row, all.filter((j) => j !== i && y.data[j] === y.data[i]), all.filter((j) => y.data[j] !== y.data[i])), false);
  return features;
}

const rowsOf = (list: number[], width: number): Tensor<"int32"> => new Tensor("int32", [list.length / width, width], Int32Array.from(list));

/**
 * The pairs that multi-similarity mining keeps: positives below an anchor's nearest negative + epsilon, negatives above its farthest positive - epsilon, by cosine.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `epsilon`, default 0.1
 * @returns positives and negatives, by anchor and then partner. An anchor without one of both has none
 * @throws RangeError for shapes that do not fit
 * @example
 *   multiSimilarityPairs([[1, 0], [0.6, 0.8], [0.8, 0.6]], [0, 0, 1]).negatives; // every negative is nearer than the positive
 * Source: Wang et al., "Multi-Similarity Loss with General Pair Weighting for Deep Metric Learning", CVPR 2019, eq. 10 and 11.
 */
export function multiSimilarityPairs(embeddings: TensorLike, labels: TensorLike, options: { readonly epsilon?: number } = {}): MinedPairs {
  const { epsilon = 0.1 } = options, near: number[] = [], far: number[] = [];
  mine("multiSimilarityPairs", embeddings, labels, "cosine", (i, s, positives, negatives) => {
    const [p, n] = minedPairs(s, positives, negatives, epsilon);
    for (const j of p) near.push(i, j);
    for (const j of n) far.push(i, j);
  });
  return { positives: rowsOf(near, 2), negatives: rowsOf(far, 2) };
}

/**
 * The hardest triplet of each anchor: its farthest positive and its nearest negative.
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param options - `distance`, "euclidean" (default), "squaredEuclidean" or "cosine"
 * @returns int32 [T, 3], anchor, positive, negative; anchors without a positive or a negative have none. Of equal ones the first
 * @throws RangeError for shapes that do not fit
 * @example
 *   batchHardTriplets([[0, 0], [1, 0], [2, 0], [5, 0]], [0, 0, 0, 1]); // [[0, 2, 3], [1, 0, 3], [2, 0, 3]]
 * Source: Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification", 2017, eq. 5.
 */
export function batchHardTriplets(embeddings: TensorLike, labels: TensorLike, options: { readonly distance?: "euclidean" | "squaredEuclidean" | "cosine" } = {}): Tensor<"int32"> {
  const { distance = "euclidean" } = options, where = "batchHardTriplets", sign = distance === "cosine" ? -1 : 1, out: number[] = [];
  checkChoice(where, "distance", distance, ["euclidean", "squaredEuclidean", "cosine"]);
  mine(where, embeddings, labels, distance, (i, d, positives, negatives) => {
    if (positives.length > 0 && negatives.length > 0) out.push(i, extreme(d, positives, sign), extreme(d, negatives, -sign as 1 | -1));
  });
  return rowsOf(out, 3);
}

/**
 * Triplets whose negatives are drawn against the density of distances on the sphere, so that all distances come up equally: one for each anchor and positive.
 *
 *   weight(d) = d^(2 - F) (1 - d^2 / 4)^((3 - F) / 2), with d at least `cutoff`; 0 from `farthest` on;  d^2 = 2 - 2 cos
 *
 * @param embeddings - float32 [N, F]
 * @param labels - int32 [N]
 * @param random - where the draws come from
 * @param options - `cutoff` (0.5), `farthest` (1.4)
 * @returns int32 [T, 3], anchor, positive, negative; none for anchors whose negatives all have the weight 0
 * @throws RangeError for shapes that do not fit
 * @example
 *   distanceWeightedTriplets([[1, 0], [0.8, 0.6], [0.6, 0.8]], [0, 0, 1], randomSource(1)); // [[0, 1, 2], [1, 0, 2]]
 * Source: Wu et al., "Sampling Matters in Deep Embedding Learning", ICCV 2017, section 4.
 */
export function distanceWeightedTriplets(embeddings: TensorLike, labels: TensorLike, random: RandomSource, options: { readonly cutoff?: number; readonly farthest?: number } = {}): Tensor<"int32"> {
  const { cutoff = 0.5, farthest = 1.4 } = options, where = "distanceWeightedTriplets", features = asFloat32(where, "embeddings", embeddings).shape[1], out: number[] = [];
  mine(where, embeddings, labels, "cosine", (i, s, positives, negatives) => {
    const logs = Float64Array.from(negatives, (j) => {
      const d = Math.max(cutoff, Math.sqrt(Math.max(0, 2 - 2 * s[j])));
      return d >= farthest ? -Infinity : (2 - features) * log(d) + ((3 - features) / 2) * log(1 - (d * d) / 4);
    });
    const top = logs.reduce((most, x) => Math.max(most, x), -Infinity);
    if (top === -Infinity) return;
    const running = logs.map((x) => exp(x - top));
    for (let k = 1; k < running.length; k++) running[k] += running[k - 1];
    for (const p of positives) {
      const u = random.uniform() * running[running.length - 1], k = running.findIndex((sum) => sum > u);
      out.push(i, p, negatives[k]);
    }
  });
  return rowsOf(out, 3);
}
