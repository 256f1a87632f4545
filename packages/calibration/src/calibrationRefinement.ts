import { softmax } from "@logits/core-wasm";
import type { Estimate } from "@logits/metrics";
import { normalQuantile } from "@logits/statistics";
import { asFloat32, runSteps, type Steps, type Tensor, type TensorLike } from "@logits/tensor";
import { checkedPairs, type Calibrator } from "./calibrator.ts";
import { checkLevel } from "./confidences.ts";
import { EnsembleTemperatureScaling } from "./ensembleTemperatureScaling.ts";
import { selectSteps, type CalibratorCandidate, type CandidateResult } from "./selectCalibrator.ts";
import { TemperatureScaling } from "./temperatureScaling.ts";
import { VectorScaling } from "./vectorScaling.ts";

/** Options of `calibrationRefinement`. */
export interface CalibrationRefinementOptions {
  /** Recalibrations that are tried, as of `selectCalibrator`. Default: temperature, ensemble temperature, vector. */
  readonly candidates?: readonly CalibratorCandidate[];
  /** Folds, an integer in [2, N]; default 5, or N where there are fewer rows. */
  readonly folds?: number;
  /** Chooses the folds; default 0. */
  readonly seed?: number;
  /** Confidence of `interval`, in (0, 1). Default 0.95. */
  readonly level?: number;
}

/** A loss in two parts: value is the calibration part, loss = value + refinement. */
export interface CalibrationRefinement extends Estimate {
  /** Mean negative log-likelihood of softmax(logits), in nats. */
  readonly loss: number;
  /** What is left after the best recalibration: what the scores do not know. */
  readonly refinement: number;
  /** The best recalibration, "none" where nothing is better than the logits as they are. */
  readonly best: string;
  /** Every candidate, "none" first. */
  readonly results: readonly CandidateResult[];
}

/**
 * How much of the log loss is miscalibration: what the best of some recalibrations saves on rows that it was not fitted on. The calibration error of a classifier of many classes without bins or kernels.
 *
 *   loss = (1 / N) sum_n -log softmax(z_n)[y_n],   refinement = min over g of its cross-validated loss,   value = loss - refinement
 *
 * "none" is among the candidates, so the value is at least 0, and 0 where no candidate helps. It is the miscalibration that these candidates can repair, a lower bound of all of it.
 *
 * @param logits - float32 [N, C], N at least 2; -Infinity = impossible class
 * @param labels - int32 [N], in [0, C)
 * @param options - `candidates`, `folds` (5), `seed` (0), `level` (0.95)
 * @returns `value` in nats, `loss`, `refinement`, `best`, `results`, `n`, `interval` (normal, from the difference row by row, at least 0; [0, Infinity] where the logits give a label probability 0), `level`, `convention`
 * @throws RangeError as `selectCalibrator`, and for a level outside (0, 1)
 * @example
 *   calibrationRefinement(logits, labels).value;
 * Source: Berta, Holzmueller, Jordan, Bach, "Rethinking early stopping: refine, then calibrate", 2025; Broecker, "Reliability, sufficiency, and the decomposition of proper scores", 2009.
 */
export function calibrationRefinement(logits: TensorLike, labels: TensorLike, options: CalibrationRefinementOptions = {}): CalibrationRefinement {
  const where = "calibrationRefinement", level = checkLevel(where, options.level);
  const { candidates = [TemperatureScaling, EnsembleTemperatureScaling, VectorScaling], folds, seed } = options;
  const { z, y, n } = checkedPairs(where, logits, labels);
  const { results } = runSteps(selectSteps(where, z, y, { candidates: [NONE, ...candidates], estimate: "none", ...(folds !== undefined && { folds }), ...(seed !== undefined && { seed }) }));
  const [none] = results, best = results.reduce((least, result) => (result.loss < least.loss ? result : least));
  const half = normalQuantile((1 + level) / 2) * none.differenceStandardError;
  return {
    value: none.difference, n, interval: none.difference < Infinity ? [Math.max(0, none.difference - half), none.difference + half] : [0, Infinity], level, convention: `log loss in nats, saved by the best of ${results.length} recalibrations, cross-validated`,
    loss: none.loss, refinement: best.loss, best: best.name, results,
  };
}

/** The logits as they are. */
const NONE: CalibratorCandidate = {
  name: "none",
  *fitSteps(_where: string, logits: TensorLike): Steps<Calibrator> {
    const [n, classes] = asFloat32("calibrationRefinement", "logits", logits).shape;
    yield 1;
    return {
      classes, n,
      transform: (x: TensorLike): Tensor<"float32"> => asFloat32("calibrationRefinement", "logits", x),
      probabilities: (x: TensorLike): Tensor<"float32"> => softmax(x),
      toJSON: () => ({ format: "none", version: 1 }),
    };
  },
};
