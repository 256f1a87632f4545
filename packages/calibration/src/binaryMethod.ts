import { exp, log } from "@logits/statistics";
import { rangeError, type Steps, type Tensor, type TensorLike } from "@logits/tensor";
import { BetaCalibration } from "./betaCalibration.ts";
import type { BinaryCalibrator } from "./binaryCalibrator.ts";
import { HistogramBinning, ScalingBinning } from "./binning.ts";
import { CrossVennAbers } from "./crossVennAbers.ts";
import { IsotonicCalibration } from "./isotonicCalibration.ts";
import { PlattScaling } from "./plattScaling.ts";
import { SplineCalibration } from "./splineCalibration.ts";
import { VennAbers } from "./vennAbers.ts";

/** A binary calibrator by its name. */
export type BinaryMethod = "platt" | "beta" | "isotonic" | "centred-isotonic" | "histogram" | "scaling-binning" | "venn-abers" | "cross-venn-abers" | "spline";

const FITS: Readonly<Record<BinaryMethod, (where: string, scores: TensorLike, labels: TensorLike) => Steps<BinaryCalibrator>>> = {
  platt: PlattScaling.fitSteps,
  beta: BetaCalibration.fitSteps,
  isotonic: IsotonicCalibration.fitSteps,
  "centred-isotonic": (where, scores, labels) => IsotonicCalibration.fitSteps(where, scores, labels, { centred: true }),
  histogram: HistogramBinning.fitSteps,
  "scaling-binning": ScalingBinning.fitSteps,
  "venn-abers": VennAbers.fitSteps,
  "cross-venn-abers": CrossVennAbers.fitSteps,
  spline: SplineCalibration.fitSteps,
};

/** The fit of that name. */
export function binaryFit(where: string, method: BinaryMethod): (where: string, scores: TensorLike, labels: TensorLike) => Steps<BinaryCalibrator> {
  if (!Object.hasOwn(FITS, method)) throw rangeError(where, "method", Object.keys(FITS).map((name) => `"${name}"`).join(", "), `${method as string}`);
  return FITS[method];
}

/**
 * Log-odds of each class against the others: s_c = z_c - log sum_{j != c} e^z_j, written into `out` [C]. -Infinity for an impossible class, +Infinity for the only possible one,
 * NaN throughout for a row without a distribution. Returns the class of the highest score, equal ones: the smaller index; -1 for a row without a distribution.
 */
export function logOddsOf({ data }: Tensor<"float32">, row: number, out: Float64Array): number {
  const classes = out.length, at = row * classes;
  let best = 0, second = -Infinity;
  for (let c = 0; c < classes; c++) {
    if (data[at + c] !== data[at + c] || data[at + c] === Infinity) {
      out.fill(NaN);
      return -1;
    }
    if (data[at + c] > data[at + best]) best = c;
  }
  const top = data[at + best];
  if (top === -Infinity) {
    out.fill(NaN);
    return -1;
  }
  // The largest term stays apart: the sum of the others has no cancellation.
  let others = 0;
  for (let c = 0; c < classes; c++) {
    out[c] = exp(data[at + c] - top);
    if (c !== best) others += out[c];
  }
  for (let c = 0; c < classes; c++) {
    if (c === best || data[at + c] === -Infinity) continue;
    second = Math.max(second, data[at + c]);
    out[c] = data[at + c] - top - log(1 + Math.max(0, others - out[c]));
  }
  if (others > 0 || second === -Infinity) out[best] = -log(others);
  else {
    // The others are possible, and too far away for e^(z - top).
    let near = 0;
    for (let c = 0; c < classes; c++) if (c !== best) near += exp(data[at + c] - second);
    out[best] = top - second - log(near);
  }
  for (let c = 0; c < classes; c++) if (data[at + c] === -Infinity) out[c] = -Infinity;
  return best;
}
