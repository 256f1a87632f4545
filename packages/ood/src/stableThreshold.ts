import { checkInteger, checkNoNaN, rangeError, type TensorLike } from "@logits/tensor";
import { connectedComponents } from "./connectedComponents.ts";
import { mapsOf } from "./mapShape.ts";

/** Options of `stableThreshold`. */
export interface StableThresholdOptions {
  /** Ends of the thresholds that are tried, low <= high. Default: the least and the largest element. For many pictures: the least and the largest of their maxima, so that a normal picture stays below. */
  readonly low?: number;
  readonly high?: number;
  /** Thresholds, an integer >= 1. Default 64. */
  readonly steps?: number;
  /** An interval of fewer thresholds does not count, an integer >= 1. Default 4. */
  readonly leastSteps?: number;
  /** Of the regions, 4 or 8. Default 8. */
  readonly connectivity?: 4 | 8;
}

/** Result of `stableThreshold`. */
export interface StableThreshold {
  /** Elements above it are anomalous; Infinity where no interval is stable. */
  readonly threshold: number;
  /** Regions in the stable interval; 0 where there is none. */
  readonly count: number;
  /** Regions at each threshold, from the highest down, int32 [steps]. */
  readonly counts: Int32Array;
}

/**
 * A threshold between anomalous and normal elements of a map, from how many regions lie above: it stays where their number does not change, and finds nothing where it keeps changing.
 *
 *   t_i = low + (high - low) (1 - i / steps),  i = 0..steps - 1        counts_i = connected regions of map > t_i
 *
 * The longest run of equal counts above 0, with at least `leastSteps` thresholds, decides: the threshold is the lowest of the run. Of runs of equal length with different counts the higher one, with the same count the lower one.
 *
 * @param map - float32 [H, W], no NaN
 * @param options - `low`, `high`, `steps` (64), `leastSteps` (4), `connectivity` (8)
 * @throws RangeError for another shape, NaN (named), an option out of range, ends that are not finite (an infinite element needs both `low` and `high`)
 * @example
 *   stableThreshold([[0, 0, 0, 0], [0, 9, 0, 8]]).count; // 2
 * Source: Huang, Li, Yang, Wang, Lin, Xie, Ren, Wang, "AnomalyNCD: Towards Novel Anomaly Class Discovery in Industrial Scenarios", CVPR 2025, main element binarization (its erosion is not here).
 */
export function stableThreshold(map: TensorLike, options: StableThresholdOptions = {}): StableThreshold {
  const where = "stableThreshold", { x, lead, height, width } = mapsOf(where, map), { steps = 64, leastSteps = 4, connectivity = 8 } = options;
  if (lead.length > 0) throw rangeError(where, "map", "of shape [H, W]", `[${x.shape.join(", ")}]`);
  checkNoNaN(where, "map", x, width);
  checkInteger(where, "steps", steps, 1, 65536);
  checkInteger(where, "leastSteps", leastSteps, 1, 65536);
  if (connectivity !== 4 && connectivity !== 8) throw rangeError(where, "connectivity", "4 or 8", `${connectivity as number}`);
  const { low = x.data.reduce((a, b) => Math.min(a, b), Infinity), high = x.data.reduce((a, b) => Math.max(a, b), -Infinity) } = options;
  if (!(Math.abs(low) < Infinity && Math.abs(high) < Infinity && low <= high)) throw rangeError(where, "low", "finite and at most `high`", `${low} and ${high}`);
  const at = (i: number): number => low + (high - low) * (1 - i / steps), mask = new Uint8Array(x.size), counts = new Int32Array(steps);
  for (let i = 0; i < steps; i++) {
    const threshold = at(i);
    for (let e = 0; e < mask.length; e++) mask[e] = Number(x.data[e] > threshold);
    counts[i] = connectedComponents({ data: mask, shape: [height, width] }, { connectivity }).regions.length;
  }
  let best = 0, count = 0, last = -1;
  for (let start = 0, end = 0; start < steps; start = end) {
    for (end = start + 1; end < steps && counts[end] === counts[start]; ) end++;
    const length = end - start;
    if (counts[start] === 0 || length < leastSteps || length < best || (length === best && counts[start] !== count)) continue;
    [best, count, last] = [length, counts[start], end - 1];
  }
  return { threshold: last < 0 ? Infinity : at(last), count, counts };
}
