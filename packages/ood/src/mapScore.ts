import { Tensor, rangeError, type TensorLike } from "@logits/tensor";
import { mapsOf } from "./mapShape.ts";

/** Options of `mapScore`. */
export interface MapScoreOptions {
  /** Share of the elements that count, in [0, 1]; at least one does. Default 0.01; 0 is the largest element. */
  readonly share?: number;
}

/**
 * One score for each picture: the mean of the largest elements of its map. Higher = more anomalous: a `Threshold` and `ConformalPValues` take it as they take a detector's.
 *
 *   score = mean of the k largest,    k = max(1, floor(share H W))
 *
 * @param map - float32 [..., H, W]
 * @param options - `share` (0.01)
 * @returns float32 [...]; shape [] for one map. A map with NaN: NaN
 * @throws RangeError for fewer than two axes, an axis of length 0, a share outside [0, 1]
 * @example
 *   mapScore([[0, 1], [2, 5]], { share: 0.5 }).item(); // 3.5
 * Source: Guo, Lu, Zhang, Chen, Wu, Liao, "Dinomaly: The Less Is More Philosophy in Multi-Class Unsupervised Anomaly Detection", CVPR 2025, for the mean of the top 1 %; the maximum is folklore.
 */
export function mapScore(map: TensorLike, options: MapScoreOptions = {}): Tensor<"float32"> {
  const where = "mapScore", { x, lead, count, height, width } = mapsOf(where, map), { share = 0.01 } = options;
  if (!(share >= 0 && share <= 1)) throw rangeError(where, "share", "in [0, 1]", `${share}`);
  const size = height * width, k = Math.max(1, Math.floor(share * size));
  const scores = Float32Array.from({ length: count }, (_, n) => {
    const sorted = x.data.slice(n * size, (n + 1) * size).sort();
    // NaN sorts last.
    if (sorted[size - 1] !== sorted[size - 1]) return NaN;
    let sum = 0;
    for (let i = size - k; i < size; i++) sum += sorted[i];
    return sum / k;
  });
  return new Tensor("float32", lead, scores);
}
