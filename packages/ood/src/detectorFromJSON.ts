import { FormatError, describe, message } from "@logits/tensor";
import type { Detector } from "./detector.ts";
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
import { ShapedEnergyDetector } from "./shapedEnergyDetector.ts";
import { NecoDetector } from "./neco.ts";
import { RelativeMahalanobisDetector } from "./relativeMahalanobis.ts";
import { ResidualDetector } from "./residual.ts";
import { SsdDetector } from "./ssd.ts";
import { VimDetector } from "./vim.ts";

const READERS: Readonly<Record<string, (json: unknown) => Detector>> = {
  "logits/logit-detector": LogitDetector.fromJSON,
  "logits/mahalanobis-detector": MahalanobisDetector.fromJSON,
  "logits/nearest-neighbor-detector": NearestNeighborDetector.fromJSON,
  "logits/shaped-energy-detector": ShapedEnergyDetector.fromJSON,
  "logits/head-detector": HeadDetector.fromJSON,
  "logits/kl-matching-detector": KLMatchingDetector.fromJSON,
  "logits/hopfield-detector": HopfieldDetector.fromJSON,
  "logits/openmax-detector": OpenMaxDetector.fromJSON,
  "logits/neighbor-guided-detector": NeighborGuidedDetector.fromJSON,
  "logits/relative-mahalanobis-detector": RelativeMahalanobisDetector.fromJSON,
  "logits/ssd-detector": SsdDetector.fromJSON,
  "logits/feature-ensemble": FeatureEnsemble.fromJSON,
  "logits/gaussian-prototypes": GaussianPrototypes.fromJSON,
  "logits/vim-detector": VimDetector.fromJSON,
  "logits/residual-detector": ResidualDetector.fromJSON,
  "logits/neco-detector": NecoDetector.fromJSON,
};

/**
 * Reads any detector of this package from what its `toJSON` wrote.
 *
 * @throws FormatError for another format or version, or a field that is missing or not what it must be
 * @example detectorFromJSON(JSON.parse(JSON.stringify(LogitDetector.of("energy")))).method // "energy"
 */
export function detectorFromJSON(json: unknown): Detector {
  const where = "detectorFromJSON";
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FormatError(message(where, "json", "an object", describe(json), typeof json === "string" ? "Pass JSON.parse(text)" : undefined));
  }
  const { format } = json as { readonly format?: unknown };
  if (typeof format !== "string" || !Object.hasOwn(READERS, format)) {
    throw new FormatError(message(where, "format", "that of a detector of @logits/ood", typeof format === "string" ? JSON.stringify(format) : describe(format)));
  }
  return READERS[format](json);
}
