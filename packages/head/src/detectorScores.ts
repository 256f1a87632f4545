import type { Detector } from "@logits/ood";
import { Tensor, rangeError, typeError, type Steps } from "@logits/tensor";
import { pieceOf, type Rows } from "./rows.ts";

/** Scores of rows that must have one, in pieces of a few milliseconds: a row's score does not depend on its batch. */
export function* detectorScores(where: string, detector: Detector, rows: Rows, prefix: string): Steps<Float32Array> {
  const count = rows.logits.shape[0];
  checkNeeds(where, detector, rows, prefix);
  const out = new Float32Array(count);
  for (let from = 0, to = 0, piece = 32; from < count; from = to) {
    const start = performance.now();
    to = Math.min(count, from + piece);
    out.set(scoresOf(detector, cut(rows, from, to)), from);
    const bad = out.subarray(from, to).findIndex((score) => score !== score);
    if (bad >= 0) throw rangeError(where, `${prefix}${detector.needs.includes("features") ? "features" : "logits"}`, `with a score by the detector "${detector.method}"`, `NaN for row ${from + bad}`);
    if (performance.now() - start < 2) piece *= 2;
    yield to / count;
  }
  return out;
}

/** A calibration row among the rows of the detector's fit is an error. `rows` says which rows of the argument these are. */
export function* checkFingerprints(where: string, argument: string, detector: Detector, { logits, features }: Rows, rows?: Int32Array): Steps<void> {
  const { fingerprints } = detector;
  if (fingerprints === undefined || features === undefined) return;
  const count = logits.shape[0], piece = pieceOf(features.shape[1]);
  for (let from = 0; from < count; from += piece) {
    const shared = fingerprints.firstShared(cut({ logits, features }, from, Math.min(count, from + piece)).features!);
    if (shared >= 0) throw rangeError(where, argument, "of calibration rows that did not fit the detector", `row ${rows ? rows[from + shared] : from + shared}, which is one of its fit`, `${rows ? "Leave one of the equal rows out" : "Take it out of one of the two"}: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\``);
    yield from / count;
  }
}

/** Rows [from, to), without a copy. */
export function cut({ logits, features }: Rows, from: number, to: number): Rows {
  const part = (x: Tensor<"float32">): Tensor<"float32"> => new Tensor("float32", [to - from, x.shape[1]], x.data.subarray(from * x.shape[1], to * x.shape[1]));
  return { logits: part(logits), ...(features && { features: part(features) }) };
}

/** Only what the detector needs is handed to it. */
export function scoresOf(detector: Detector, { logits, features }: Rows): Float32Array {
  const { needs } = detector;
  return detector.score({ ...(needs.includes("logits") && { logits }), ...(needs.includes("features") && { features }) }).data;
}

/** Whether the rows have what the detector needs. */
export function checkNeeds(where: string, detector: Detector, rows: Rows, prefix: string): void {
  const { needs, method, features: width } = detector;
  if (!needs.includes("features")) return;
  if (rows.features === undefined) throw typeError(where, `${prefix}features`, `dense features, which the detector "${method}" needs`, "nothing");
  if (width !== undefined && rows.features.shape[1] !== width) throw rangeError(where, `${prefix}features`, `of ${width} features on the last axis, as the fit had`, `${rows.features.shape[1]}`);
}
