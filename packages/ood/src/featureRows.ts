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
  const begin = from * features, end = to * features, bits = new Int32Array(x.buffer, x.byteOffset, x.length);
  // An exponent of ones becomes the sign: no float is looked at, four times as fast.
  let seen = 0;
  for (let i = begin; i < end; i++) seen |= (bits[i] & 0x7f800000) + 0x00800000;
  if (seen >= 0) return;
  for (let i = begin; i < end; i++) {
    const value = x[i];
    if (value - value !== 0) throw rangeError(where, "features", "of finite numbers", `${value} in row ${Math.floor(i / features)}, column ${i % features}`);
  }
}
