import { asFloat32, checkShape, rangeError, type Tensor, type TensorLike } from "@logits/tensor";
import type { DetectorRows } from "./detector.ts";
import { featuresOf } from "./featureRows.ts";

/** The logits to score, float32 [..., C], and how many rows they are. */
export function logitsOf(where: string, rows: DetectorRows, classes: number): { z: Tensor<"float32">; count: number } {
  if (rows.logits === undefined) throw rangeError(where, "rows", "with `logits`", `${Object.keys(rows).join(", ") || "none"}`);
  const z = asFloat32(where, "logits", rows.logits);
  if (z.shape.length === 0 || z.shape[z.shape.length - 1] !== classes) throw rangeError(where, "logits", `of shape [..., ${classes}]`, `[${z.shape.join(", ")}]`);
  return { z, count: z.size / classes };
}

/** Logits of a fit, float32 [N, C], N >= 1 and C >= 1, all finite. */
export function fitLogits(where: string, logits: TensorLike): Tensor<"float32"> {
  const z = asFloat32(where, "logits", logits);
  checkShape(where, "logits", z, ["N", "C"]);
  const [rows, classes] = z.shape;
  if (rows === 0 || classes === 0) throw rangeError(where, "logits", "of shape [N, C], N >= 1 and C >= 1", `[${rows}, ${classes}]`);
  const bad = z.data.findIndex((value) => value - value !== 0);
  if (bad >= 0) throw rangeError(where, "logits", "of finite numbers", `${z.data[bad]} in row ${Math.floor(bad / classes)}, column ${bad % classes}`);
  return z;
}

/** Features and logits of the same rows to score. */
export function pairsOf(where: string, rows: DetectorRows, features: number, classes: number): { x: Tensor<"float32">; z: Tensor<"float32">; count: number } {
  if (rows.logits === undefined || rows.features === undefined) throw rangeError(where, "rows", "with `logits` and `features`", `${Object.keys(rows).join(", ") || "none"}`);
  const { x, count } = featuresOf(where, rows, features), { z, count: scored } = logitsOf(where, rows, classes);
  checkSameRows(where, scored, count);
  return { x, z, count };
}

/** Checks that features and logits are of the same rows. */
export function checkSameRows(where: string, logits: number, features: number): void {
  if (logits !== features) throw rangeError(where, "logits", `of ${features} rows as the features`, `${logits}`);
}

/** The first largest logit of row `n`; -1 for a row with NaN. */
export function predicted(z: Float32Array, classes: number, n: number): number {
  let best = 0;
  for (let c = 0, at = n * classes, top = -Infinity; c < classes; c++, at++) {
    const value = z[at];
    if (value !== value) return -1;
    if (value > top) {
      top = value;
      best = c;
    }
  }
  return best;
}

/** Scores of rows with a number that is not finite: NaN where one is NaN, otherwise Infinity. */
export function settleRow(row: Float32Array): number | undefined {
  let found: number | undefined;
  for (let i = 0; i < row.length; i++) {
    const value = row[i];
    if (value - value === 0) continue;
    if (value !== value) return NaN;
    found = Infinity;
  }
  return found;
}
