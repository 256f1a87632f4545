import type { Estimate } from "@logits/metrics";
import { asFloat32, checkInteger, checkShape, rangeError, type TensorLike } from "@logits/tensor";
import { binOf } from "./bins.ts";
import { checkLevel, checkedConfidences, type Confidences } from "./confidences.ts";
import { errorInterval } from "./errorInterval.ts";

/** Boxes of a detector: how sure it was, whether an object was there, and where. */
export interface Detections extends Confidences {
  /** float32 [N, F], in [0, 1]: relative centre and size of each box (x, y, width, height), or fewer of them. Without it the error is that of the confidence alone. */
  readonly position?: TensorLike;
}

/** Options of `detectionCalibrationError`. */
export interface DetectionCalibrationErrorOptions {
  /** Bins of each axis, confidence first: one number for all, or 1 + F of them. Default 20 without positions, 8 with one or two, 5 with more. */
  readonly bins?: number | readonly number[];
  /** Cells with fewer rows are left out. Default 8. */
  readonly minimum?: number;
  /** Confidence of `interval`, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** A detection calibration error. */
export interface DetectionCalibrationError extends Estimate {
  /** Cells that count. */
  readonly cells: number;
  /** Rows in them; `n` has all. */
  readonly kept: number;
}

/**
 * Calibration error of an object detector: confidence against precision, in bins of confidence and of where the box is and how large.
 *
 *   D-ECE = sum over cells of n_k / M |precision_k - conf_k|,   M = rows in cells of at least `minimum`
 *
 * A row is right where its box matches an object, as you decide (an IoU of at least 0.5, say). Bins are (low, high] on every axis, 0 in the first, as `expectedCalibrationError`. A detector can be
 * calibrated on the whole and wrong at the border of the image: with positions that shows. Boxes that were not found have no confidence and do not count.
 *
 * @param detections - `confidence` [N], `correct` [N], `position` [N, F] in [0, 1]
 * @param options - `bins`, `minimum` (8), `level` (0.95)
 * @returns `value` in [0, 1], `n`, `cells`, `kept`, `interval` as `expectedCalibrationError` (of the cells that count), `level`, `convention`
 * @throws RangeError for no rows, another shape, values outside [0, 1] (NaN included; the row is named), no cell with `minimum` rows
 * @example
 *   detectionCalibrationError({ confidence: [0.75, 0.75], correct: [1, 0], position: [[0.5, 0.5], [0.5, 0.5]] }, { minimum: 1 }).value; // 0.25
 * Source: Kueppers, Kronenberger, Shantia, Haselhoff, "Multivariate confidence calibration for object detection", CVPR Workshops 2020.
 */
export function detectionCalibrationError(detections: Detections, options: DetectionCalibrationErrorOptions = {}): DetectionCalibrationError {
  const where = "detectionCalibrationError";
  const { minimum = 8 } = options, level = checkLevel(where, options.level);
  checkInteger(where, "minimum", minimum, 1, 2147483647);
  const { confidence, correct } = checkedConfidences(where, detections, undefined), n = confidence.length;
  const position = detections.position === undefined ? undefined : asFloat32(where, "position", detections.position);
  if (position !== undefined) {
    checkShape(where, "position", position, ["N", "F"]);
    if (position.shape[0] !== n) throw rangeError(where, "position", `of ${n} rows`, `${position.shape[0]}`);
  }
  const axes = 1 + (position?.shape[1] ?? 0), given = options.bins ?? (axes === 1 ? 20 : axes <= 3 ? 8 : 5), bins = typeof given === "number" ? Array.from({ length: axes }, () => given) : given;
  if (bins.length !== axes) throw rangeError(where, "bins", `one number or ${axes}`, `${bins.length}`);
  for (const count of bins) checkInteger(where, "bins", count, 1, 1000000);
  if (bins.reduce((product, count) => product * count, 1) > Number.MAX_SAFE_INTEGER) throw rangeError(where, "bins", "of fewer than 2^53 cells", `[${bins.join(", ")}]`);

  const cellOf = new Map<number, number>(), index = new Int32Array(n), counts: number[] = [];
  for (let i = 0; i < n; i++) {
    let key = binOf(Math.min(1, confidence[i]), bins[0]);
    for (let axis = 1; axis < axes; axis++) {
      const x = position!.data[i * (axes - 1) + axis - 1];
      if (!(x >= 0 && x <= 1)) throw rangeError(where, "position", "in [0, 1]", `${x} in row ${i}, column ${axis - 1}`, "Divide by the size of the image");
      key = key * bins[axis] + binOf(x, bins[axis]);
    }
    let cell = cellOf.get(key);
    if (cell === undefined) {
      cell = counts.length;
      cellOf.set(key, cell);
      counts.push(0);
    }
    counts[cell]++;
    index[i] = cell;
  }
  const size = counts.length, sums = { count: new Int32Array(size), confidence: new Float64Array(size), correct: new Int32Array(size), squares: new Float64Array(size) };
  for (let i = 0; i < n; i++) {
    const cell = index[i];
    if (counts[cell] < minimum) continue;
    const c = confidence[i], yes = correct[i];
    sums.count[cell]++;
    sums.confidence[cell] += c;
    sums.correct[cell] += yes;
    sums.squares[cell] += (yes - c) * (yes - c);
  }
  let total = 0, kept = 0, cells = 0;
  for (let cell = 0; cell < size; cell++) {
    total += Math.abs(sums.correct[cell] - sums.confidence[cell]);
    kept += sums.count[cell];
    if (sums.count[cell] > 0) cells++;
  }
  if (kept === 0) throw rangeError(where, "minimum", "at most the rows of the fullest cell", `${minimum} with at most ${counts.reduce((most, count) => Math.max(most, count), 0)}`, "Take fewer bins");
  const convention = `detections, ${bins.join(" x ")} bins (low, high], 0 in the first, cells of at least ${minimum} rows`;
  return { value: total / kept, n, interval: errorInterval([{ sums, share: 1 }], kept, 1, level, undefined), level, convention, cells, kept };
}
