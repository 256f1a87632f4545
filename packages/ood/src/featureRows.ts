import { asFloat32, rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import type { DetectorRows } from "./detector.ts";

/** The features to score, float32 [..., F], and how many rows they are. */
export function featuresOf(where: string, rows: DetectorRows, features: number): { x: Tensor<"float32">; count: number } {
  if (rows.features === undefined) throw rangeError(where, "rows", "with `features`", `${Object.keys(rows).join(", ") || "none"}`);
  const x = asFloat32(where, "features", rows.features as TensorLike);
  if (x.shape.length === 0 || x.shape[x.shape.length - 1] !== features) throw rangeError(where, "features", `of shape [..., ${features}]`, `[${x.shape.join(", ")}]`);
  return { x, count: x.size / features };
}

/** Scores where there is no distance: NaN for a row with NaN, Infinity for one that is infinitely far. */
export function settle(scores: Float32Array, x: Float32Array, features: number, first: number): void {
  for (let n = 0; n < scores.length; n++) {
    if (scores[n] - scores[n] === 0) continue;
    const from = (first + n) * features;
    scores[n] = x.subarray(from, from + features).some((value) => value !== value) ? NaN : Infinity;
  }
}

/** Refuses rows [from, to) of a fit with NaN or an infinity, and names the first. */
export function checkFinite(where: string, x: Float32Array, features: number, from: number, to: number): void {
  const begin = from * features, end = to * features, whole = begin + ((end - begin) & ~3);
  // x - x is 0 for a finite number, NaN for the others, and so are sums of them.
  let a = 0, b = 0, c = 0, d = 0, i = begin;
  for (; i < whole; i += 4) {
    a += x[i] - x[i];
    b += x[i + 1] - x[i + 1];
    c += x[i + 2] - x[i + 2];
    d += x[i + 3] - x[i + 3];
  }
  for (; i < end; i++) a += x[i] - x[i];
  if (a + b + c + d === 0) return;
  for (i = begin; i < end; i++) {
    const value = x[i];
    if (value - value !== 0) throw rangeError(where, "features", "of finite numbers", `${value} in row ${Math.floor(i / features)}, column ${i % features}`);
  }
}
