import { PValueFusion, type Detector, type PValueFusionOptions } from "@logits/ood";
import { partOf, randomSource, rangeError, type Steps } from "@logits/tensor";
import { fitChoice, type DetectorChoice, type DetectorFactory } from "./detectorChoice.ts";
import { halves } from "./halves.ts";
import type { LabelledRows } from "./rows.ts";

/** Options of `fuseDetectors`. */
export interface FuseDetectorsOptions extends PValueFusionOptions {
  /** Seed of the halves, an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
}

/**
 * Several detectors fused on the scale of p-values, for the option `detector` of `DecisionHead.fit` and for `selectDetector`: each is fitted on one half of the fit rows, the other half are the reference rows of
 * their p-values. Threshold and sets come from calibration rows, as for any detector, so the promises hold whatever the dependence between the detectors.
 *
 * @param candidates - names, `{ method, ...settings }`, functions that fit, or fitted detectors; at least one
 * @param options - `method` of `PValueFusion` ("fisher"), `seed` (0)
 * @returns a function that fits, on at least 2 rows
 * @throws RangeError for no candidate
 * @example
 *   const head = DecisionHead.fit({ logits, features, labels, classes }, { detector: fuseDetectors(["energy", "mahalanobis", "knn"]) });
 * Source: as `PValueFusion`.
 */
export function fuseDetectors(candidates: readonly DetectorChoice[], options: FuseDetectorsOptions = {}): DetectorFactory {
  const where = "fuseDetectors";
  if (!Array.isArray(candidates) || candidates.length === 0) throw rangeError(where, "candidates", "at least one detector", "none");
  return function* fuse({ logits, features, labels, kept }): Steps<Detector> {
    const rows: LabelledRows = { logits, labels, ...(features !== undefined && { features }) };
    if (labels.size < 2) throw rangeError(where, "labels", "of at least 2 fit rows", `${labels.size}`);
    const [own, reference] = yield* partOf(halves(rows, randomSource(options.seed ?? 0, 5)), 0, 0.1), detectors: Detector[] = [];
    for (const [i, candidate] of candidates.entries()) detectors.push(yield* partOf(fitChoice(where, candidate, own, kept), 0.1 + (0.7 * i) / candidates.length, 0.7 / candidates.length));
    return PValueFusion.fit(detectors, { logits: reference.logits, ...(reference.features && { features: reference.features }) }, options);
  };
}
