import { rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { DetectorChoice } from "./detectorChoice.ts";
import { areProbabilities, labelsOf, usableRows, type RowFields } from "./rows.ts";
import { selectSteps, type Selected, type SelectionOptions } from "./selectSteps.ts";

/** Rows to choose a detector on. */
export interface SelectDetectorData {
  /** float32 [N, C]. */
  readonly logits: TensorLike;
  /** float32 [N, F], for detectors that need them. */
  readonly features?: TensorLike;
  /** int32 [N], in [0, C). */
  readonly labels: TensorLike;
  /** Rows known to be outside. Without: classes are held out in turn. */
  readonly outliers?: RowFields;
}

/** Options of `selectDetector`. */
export interface SelectDetectorOptions extends SelectionOptions {
  /** Seed of the halves and of the groups of classes, an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
}

/**
 * Chooses among detectors: the one that tells outliers best from rows like those of the fit, within budgets of bytes and time.
 *
 * Each candidate is fitted on one half of the rows and scored on the other half and the outliers; the winner is fitted on all. Without outliers the classes are held out in turn (in groups, at most 4): a
 * candidate sees the rows and the columns of the other classes, and has to find the rows of the group. That needs 3 classes, and candidates that can be fitted. It favours detectors that find new classes near the
 * known ones; rows of your own that are outside say more. The rows serve the choice, so a threshold needs others. In `DecisionHead.fit` a function that fits the detector sees the fit rows alone: `detector: (rows) => selectDetector(candidates, rows).detector` keeps every promise.
 *
 * @param candidates - names, `{ method, ...settings }`, functions that fit ("({ features }) => SsdDetector.fit(features)"), or fitted detectors
 * @param data - `logits` float32 [N, C] (not probabilities), `labels` int32 [N], `features` float32 [N, F] where a candidate needs them, `outliers`
 * @param options - `criterion` ("auroc"), `maxBytes`, `maxLatencyMs` with `clock`, `seed` (0)
 * @returns `detector`, `best` (its index) and `candidates`: AUROC, false-positive rate at 95 % recall, bytes, latency and whether the budgets are kept, of each
 * @throws RangeError for no candidate, fewer than 2 rows, no outliers and fewer than 3 classes or a fitted candidate, budgets that no candidate keeps, and what the fits refuse; TypeError for a `maxLatencyMs` without `clock`
 * @example
 *   const { detector, candidates } = selectDetector(["msp", "energy", "mahalanobis"], { logits, features, labels }, { maxBytes: 100000 });
 * Source: the problem: Ma, Zhao, Zhang, Akoglu, "The need for unsupervised outlier model selection", SIGKDD Explorations 25 (2023); held-out classes as outliers: Ahmed and Courville, "Detecting semantic anomalies", AAAI 2020.
 */
export function selectDetector(candidates: readonly DetectorChoice[], data: SelectDetectorData, options: SelectDetectorOptions = {}): Selected {
  return runSteps(steps("selectDetector", candidates, data, options));
}

/** `selectDetector` with pauses: the same choice. The data must not change meanwhile. Rejects with the signal's reason on abort. */
export async function selectDetectorAsync(candidates: readonly DetectorChoice[], data: SelectDetectorData, options: SelectDetectorOptions & LongWorkOptions = {}): Promise<Selected> {
  return runStepsAsync(steps("selectDetectorAsync", candidates, data, options), options);
}

function* steps(where: string, candidates: readonly DetectorChoice[], data: SelectDetectorData, options: SelectDetectorOptions): Steps<Selected> {
  if (!Array.isArray(candidates) || candidates.length === 0) throw rangeError(where, "candidates", "at least one detector", "none");
  const rows = yield* usableRows(where, "", data, "logits", undefined);
  if (areProbabilities(rows.logits)) throw rangeError(where, "logits", "of scores before the softmax", "probabilities: each row >= 0 with a sum of 1", "Pass probabilitiesToLogits(p).logits");
  const outliers = data.outliers && (yield* usableRows(where, "outliers.", data.outliers, "logits", undefined));
  if (outliers && outliers.logits.shape[1] !== rows.logits.shape[1]) throw rangeError(where, "outliers.logits", `of ${rows.logits.shape[1]} classes on the last axis`, `shape [${outliers.logits.shape.join(", ")}]`);
  return yield* selectSteps(where, candidates, { ...rows, labels: labelsOf(where, "labels", data.labels, rows) }, outliers, options.seed ?? 0, options);
}
