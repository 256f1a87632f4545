import { FormatError, describe, message } from "@logits/tensor";
import type { Detector } from "./detector.ts";
import type { DetectorClass } from "./detectorClass.ts";
import { FeatureEnsemble } from "./featureEnsemble.ts";
import { GaussianPrototypes } from "./gaussianPrototypes.ts";
import { HeadDetector } from "./headDetector.ts";
import { HopfieldDetector } from "./hopfieldDetector.ts";
import { KLMatchingDetector } from "./klMatchingDetector.ts";
import { LogitDetector } from "./logitDetector.ts";
import { MahalanobisDetector } from "./mahalanobis.ts";
import { NearestNeighborDetector } from "./nearestNeighborDetector.ts";
import { NeighborGuidedDetector } from "./neighborGuidedDetector.ts";
import { OpenMaxDetector } from "./openMaxDetector.ts";
import { PValueFusion } from "./pValueFusion.ts";
import { formatOf } from "./readDetector.ts";
import { ShapedEnergyDetector } from "./shapedEnergyDetector.ts";
import { NecoDetector } from "./neco.ts";
import { RelativeMahalanobisDetector } from "./relativeMahalanobis.ts";
import { ResidualDetector } from "./residual.ts";
import { SsdDetector } from "./ssd.ts";
import { VimDetector } from "./vim.ts";

/** Every detector class of this package: for a reader that must know all of them, such as a command line. A bundle with this list carries all. */
export const allDetectors: readonly DetectorClass[] = [
  LogitDetector, MahalanobisDetector, NearestNeighborDetector, ShapedEnergyDetector, HeadDetector, KLMatchingDetector, HopfieldDetector, OpenMaxDetector, NeighborGuidedDetector,
  RelativeMahalanobisDetector, SsdDetector, FeatureEnsemble, GaussianPrototypes, VimDetector, ResidualDetector, NecoDetector, PValueFusion,
];

/**
 * Reads any detector of this package from what its `toJSON` wrote. `readDetector` reads those that it is given, and keeps the others out of a bundle.
 *
 * @throws FormatError for another format or version, or a field that is missing or not what it must be
 * @example detectorFromJSON(JSON.parse(JSON.stringify(LogitDetector.of("energy")))).method // "energy"
 */
export function detectorFromJSON(json: unknown): Detector {
  const where = "detectorFromJSON", format = formatOf(where, json);
  const found = allDetectors.find((one) => one.format === format);
  if (found === undefined) throw new FormatError(message(where, "format", "that of a detector of @logits/ood", typeof format === "string" ? JSON.stringify(format) : describe(format)));
  return found.fromJSON(json, allDetectors);
}
