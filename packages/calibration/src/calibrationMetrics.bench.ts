import type { Tensor } from "@logits/tensor";
import { calibrationTest } from "./calibrationTest.ts";
import type { Confidences } from "./confidences.ts";
import { brierDecomposition } from "./brierDecomposition.ts";
import { expectedCalibrationError } from "./expectedCalibrationError.ts";
import { kernelCalibrationError } from "./kernelCalibrationError.ts";
import { smoothCalibrationError } from "./smoothCalibrationError.ts";

const ROWS = 1_000_000;
let kept: Confidences | undefined;

/** Confidences in (0, 1) of scores in [-10, 10], by x / (1 + |x|), right a little less often than they say. */
function rowsOf(x: Tensor<"float32">): Confidences {
  if (kept === undefined) {
    const confidence = x.data.map((v) => 0.5 + v / (2 + 2 * Math.abs(v))), correct = new Uint8Array(ROWS);
    // Multiples of an odd number, modulo 2^32, are spread evenly.
    for (let i = 0; i < ROWS; i++) correct[i] = (Math.imul(i, 2654435769) >>> 0) / 4294967296 < 0.97 * confidence[i] ? 1 : 0;
    kept = { confidence, correct };
  }
  return kept;
}

const MEASURES: Record<string, (rows: Confidences) => unknown> = {
  "equal width": (rows) => expectedCalibrationError(rows),
  "equal mass": (rows) => expectedCalibrationError(rows, { binning: "equal-mass" }),
  smooth: (rows) => smoothCalibrationError(rows),
  "kernel with its test": (rows) => kernelCalibrationError(rows),
  kuiper: (rows) => calibrationTest(rows),
  "hosmer-lemeshow": (rows) => calibrationTest(rows, { method: "hosmer-lemeshow" }),
  "brier decomposition": (rows) => brierDecomposition(rows),
};

/** Calibration errors of a million confidences. */
export const cases: readonly { name: string; rows: number; cols: number; run(x: Tensor<"float32">): unknown }[] = Object.entries(MEASURES).map(([name, measure]) => ({
  name: `${name}, ${ROWS} rows`, rows: ROWS, cols: 1, run: (x: Tensor<"float32">) => measure(rowsOf(x)),
}));
