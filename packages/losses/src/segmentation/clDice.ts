import { checkInteger, checkPositive } from "@logits/tensor";
import { planeLoss, type PlaneLoss, type PlaneOptions } from "./planes.ts";

/** Options of `clDiceLoss`. */
export interface ClDiceOptions extends PlaneOptions {
  /** Erosions of the soft skeleton: at least half the width of the widest tube, in pixels. Default 3. */
  readonly iterations?: number;
  /** Added to both sides of the two ratios, greater than 0. Default 1. */
  readonly smooth?: number;
}

/** A pooled plane, and where each value came from. */
interface Pooled {
  readonly values: Float64Array;
  readonly from: Int32Array;
}

/** The smallest of a pixel and its four neighbours (sign -1), or the largest of the nine (sign 1). Of equal ones the first. */
function pooled(f: Float64Array, height: number, width: number, sign: 1 | -1): Pooled {
  const values = new Float64Array(f.length), from = new Int32Array(f.length);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
    let best = y * width + x;
    for (let v = Math.max(0, y - 1); v <= Math.min(height - 1, y + 1); v++) for (let u = Math.max(0, x - 1); u <= Math.min(width - 1, x + 1); u++) {
      if (sign < 0 && u !== x && v !== y) continue;
      if (sign * f[v * width + u] > sign * f[best]) best = v * width + u;
    }
    values[y * width + x] = f[best];
    from[y * width + x] = best;
  }
  return { values, from };
}

/** The soft skeleton of a plane, and its vector-Jacobian product: adds to `into`. */
function softSkeleton(f: Float64Array, height: number, width: number, iterations: number): { skeleton: Float64Array; back(upstream: Float64Array, into: Float64Array): void } {
  // Level k: the plane eroded k times, what opening takes from it, and the skeleton before it.
  const levels: { eroded: Pooled; dilated: Pooled; left: Float64Array; before: Float64Array }[] = [];
  let skeleton: Float64Array = new Float64Array(f.length), plane: Float64Array = f;
  for (let k = 0; k <= iterations; k++) {
    const eroded = pooled(plane, height, width, -1), dilated = pooled(eroded.values, height, width, 1), left = plane.map((x, i) => Math.max(0, x - dilated.values[i])), before = skeleton;
    levels.push({ eroded, dilated, left, before });
    skeleton = before.map((s, i) => s + Math.max(0, left[i] * (1 - s)));
    plane = eroded.values;
  }
  return {
    skeleton,
    back(upstream, into) {
      let bySkeleton: Float64Array = upstream.slice(), byPlane: Float64Array = new Float64Array(f.length);
      for (let k = iterations; k >= 0; k--) {
        const { eroded, dilated, left, before } = levels[k], lower = byPlane, own = k === 0 ? into : new Float64Array(f.length), earlier = bySkeleton.slice();
        for (let i = 0; i < f.length; i++) {
          if (!(left[i] > 0)) continue;
          const d = bySkeleton[i] * (1 - before[i]);
          earlier[i] -= bySkeleton[i] * left[i];
          own[i] += d;
          lower[dilated.from[i]] -= d;
        }
        for (let i = 0; i < f.length; i++) own[eroded.from[i]] += lower[i];
        [bySkeleton, byPlane] = [earlier, own];
      }
    },
  };
}

/**
 * Centre-line Dice loss: how much of the predicted skeleton lies in the mask, and of the mask's skeleton in the prediction. Keeps tubes and roads connected; beside a loss of regions.
 *
 *   loss[b] = 1 - 2 P S / (P + S),   P = (sum S(p) t + smooth) / (sum S(p) + smooth),   S = (sum S(t) p + smooth) / (sum S(t) + smooth)
 *
 * S(.) is the soft skeleton: what openings take away, level by level, from a plane that is eroded again and again (minimum of five, maximum of nine pixels).
 *
 * @param logits - float32 [..., H, W]
 * @param targets - float32, the same shape, in [0, 1]
 * @param options - those of every loss (`weight` and `where` of planes); `activation` ("sigmoid"), `iterations` (3), `smooth` (1)
 * @returns float32 [...] ("none") or [], in [0, 1]. `withGrad`: `grad`, through every pooling; of equal pixels the centre, then the first
 * @throws RangeError for shapes that differ, fewer than two axes, a target outside [0, 1], options out of range
 * @example
 *   clDiceLoss([[[-4, 4, -4], [-4, 4, -4]]], [[[0, 1, 0], [0, 1, 0]]]);
 * Source: Shit, Paetzold et al., "clDice - a novel topology-preserving loss function for tubular structure segmentation", CVPR 2021, algorithms 1 and 2.
 */
export const clDiceLoss: PlaneLoss<ClDiceOptions> = /* @__PURE__ */ planeLoss("clDiceLoss", ({ iterations = 3, smooth = 1 }: ClDiceOptions, where) => {
  checkInteger(where, "iterations", iterations, 0, 1e4);
  checkPositive(where, "smooth", smooth);
  return (p, t, height, width, coefficient, gradient) => {
    const { skeleton, back } = softSkeleton(p, height, width, iterations), lines = softSkeleton(t, height, width, iterations).skeleton;
    let hit = smooth, all = smooth, found = smooth, there = smooth;
    for (let i = 0; i < p.length; i++) {
      hit += skeleton[i] * t[i];
      all += skeleton[i];
      found += lines[i] * p[i];
      there += lines[i];
    }
    const precision = hit / all, recall = found / there, sum = precision + recall;
    if (gradient) {
      const byPrecision = (-2 * coefficient * recall ** 2) / sum ** 2, byRecall = (-2 * coefficient * precision ** 2) / sum ** 2;
      back(skeleton.map((_, i) => (byPrecision * (t[i] - precision)) / all), gradient);
      for (let i = 0; i < p.length; i++) gradient[i] += (byRecall * lines[i]) / there;
    }
    return 1 - (2 * precision * recall) / sum;
  };
});
