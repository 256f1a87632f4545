import { FormatError, describe, message, typeError } from "@logits/tensor";
import type { Detector } from "./detector.ts";
import type { DetectorClass } from "./detectorClass.ts";
import { LogitDetector } from "./logitDetector.ts";
import { MahalanobisDetector } from "./mahalanobis.ts";
import { NearestNeighborDetector } from "./nearestNeighborDetector.ts";

/** The detectors that `DecisionHead` fits and reads unasked. */
const COMMON: readonly DetectorClass[] = [LogitDetector, MahalanobisDetector, NearestNeighborDetector];

/** Classes of this package by format: names alone, so that no reader carries a class it was not given. */
const NAMES: Readonly<Record<string, string>> = {
  "logits/shaped-energy-detector": "ShapedEnergyDetector",
  "logits/head-detector": "HeadDetector",
  "logits/kl-matching-detector": "KLMatchingDetector",
  "logits/hopfield-detector": "HopfieldDetector",
  "logits/openmax-detector": "OpenMaxDetector",
  "logits/neighbor-guided-detector": "NeighborGuidedDetector",
  "logits/relative-mahalanobis-detector": "RelativeMahalanobisDetector",
  "logits/ssd-detector": "SsdDetector",
  "logits/feature-ensemble": "FeatureEnsemble",
  "logits/gaussian-prototypes": "GaussianPrototypes",
  "logits/vim-detector": "VimDetector",
  "logits/residual-detector": "ResidualDetector",
  "logits/neco-detector": "NecoDetector",
  "logits/p-value-fusion": "PValueFusion",
};

/**
 * Reads a detector of a class that is known here: `LogitDetector`, `MahalanobisDetector`, `NearestNeighborDetector` and those given. A bundle carries these alone; `detectorFromJSON` knows all and carries all.
 *
 * @param json - what the detector's `toJSON` wrote, parsed
 * @param classes - more classes to know, of this package or your own: each with a static `format` and `fromJSON`
 * @throws FormatError for a format of no known class (it says which class to import), and what the class refuses; TypeError for a class without `format` and `fromJSON`
 * @example readDetector(SsdDetector.fit([[1], [3]], { normalize: false }).toJSON(), [SsdDetector]).method // "ssd"
 */
export function readDetector(json: unknown, classes: readonly DetectorClass[] = []): Detector {
  return readDetectorAs("readDetector", "detectors", json, classes);
}

/** `readDetector` for a caller with a name of its own for the list of classes; its own errors begin with `where`. */
export function readDetectorAs(where: string, argument: string, json: unknown, classes: readonly DetectorClass[]): Detector {
  if (!Array.isArray(classes)) throw typeError(where, argument, "a list of detector classes", describe(classes));
  const odd = classes.findIndex((one) => typeof one?.format !== "string" || typeof one.fromJSON !== "function");
  if (odd >= 0) throw typeError(where, argument, "of classes with a static `format` and `fromJSON`", `${describe(classes[odd])} at index ${odd}`);
  const format = formatOf(where, json), known = [...classes, ...COMMON];
  const found = known.find((one) => one.format === format);
  if (found !== undefined) return found.fromJSON(json, known);
  const name = typeof format === "string" && Object.hasOwn(NAMES, format) ? NAMES[format] : undefined;
  const todo = name === undefined ? `Pass the class that wrote it: \`${argument}: [...]\`` : `Import { ${name} } from "@logits/ood" and pass it: \`${argument}: [${name}]\``;
  throw new FormatError(message(where, "format", `that of a detector that is known here (${known.map((one) => one.format).join(", ")})`, typeof format === "string" ? JSON.stringify(format) : describe(format), todo));
}

/** The format of a detector's JSON, whatever it is. */
export function formatOf(where: string, json: unknown): unknown {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new FormatError(message(where, "json", "an object", describe(json), typeof json === "string" ? "Pass JSON.parse(text)" : undefined));
  }
  return (json as { readonly format?: unknown }).format;
}
