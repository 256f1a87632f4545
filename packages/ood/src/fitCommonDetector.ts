import { rangeError, type Steps } from "@logits/tensor";
import type { Detector } from "./detector.ts";
import type { DetectorFitRows } from "./fitDetector.ts";
import { LogitDetector, type LogitDetectorMethod, type LogitDetectorOptions } from "./logitDetector.ts";
import { MahalanobisDetector } from "./mahalanobis.ts";
import { NearestNeighborDetector } from "./nearestNeighborDetector.ts";

/** A detector of those that `DecisionHead` knows unasked, by name or by name and settings. */
export type CommonDetectorSpec =
  | LogitDetectorMethod
  | "mahalanobis"
  | "knn"
  | { readonly method: LogitDetectorMethod; readonly temperature?: number; readonly gamma?: number; readonly top?: number }
  | { readonly method: "mahalanobis"; readonly shrinkage?: number }
  | { readonly method: "knn"; readonly k?: number; readonly normalize?: boolean; readonly maxRows?: number; readonly scan?: "float32" | "int8" };

const SETTINGS: Readonly<Record<string, readonly string[]>> = {
  msp: ["temperature"], maxLogit: ["temperature"], energy: ["temperature"], entropy: ["temperature"], margin: ["temperature"], odin: ["temperature"], gen: ["temperature", "gamma", "top"],
  mahalanobis: ["shrinkage"], knn: ["k", "normalize", "maxRows", "scan"],
};

/**
 * The pieces of a fit of a `LogitDetector`, a `MahalanobisDetector` or a `NearestNeighborDetector` by name: what `fitDetectorSteps` does for these three, without the code of the other detectors.
 *
 * @param where - names the caller in errors, and `argument` what it calls the spec
 * @param spec - a name, or `{ method, ...settings }`
 * @param rows - `features` float32 [N, F] and `labels` int32 [N] where the method needs them, `classes`
 * @throws RangeError for another method (its class goes in by a factory) or setting, rows that the method needs and that are not there, and what the fit itself refuses
 * @example fitCommonDetectorSteps("myFit", "energy", {}).next().value // a LogitDetector
 */
export function* fitCommonDetectorSteps(where: string, spec: CommonDetectorSpec, rows: DetectorFitRows, argument = "spec"): Steps<Detector> {
  const settings = (typeof spec === "string" ? { method: spec } : spec) as Exclude<CommonDetectorSpec, string>;
  const method: string = settings?.method;
  if (!Object.hasOwn(SETTINGS, `${method}`)) {
    throw rangeError(where, argument, Object.keys(SETTINGS).map((name) => `"${name}"`).join(", "), `${method}`, "Another detector goes in by a function that fits it: ({ features, logits, labels }) => SsdDetector.fit(features)");
  }
  const unknown = Object.keys(settings).find((name) => name !== "method" && !SETTINGS[method].includes(name));
  if (unknown !== undefined) throw rangeError(where, argument, `with the settings of ${method} (${SETTINGS[method].join(", ")})`, `${unknown}`);
  const need = <Name extends "features" | "labels">(name: Name): NonNullable<DetectorFitRows[Name]> => {
    const value = rows[name];
    if (value === undefined) throw rangeError(where, name, `for the method ${method}`, "none");
    return value;
  };
  if (settings.method === "mahalanobis") return yield* MahalanobisDetector.fitSteps(where, need("features"), need("labels"), { ...settings, classes: rows.classes });
  if (settings.method === "knn") return yield* NearestNeighborDetector.fitSteps(where, need("features"), settings);
  return LogitDetector.of(settings.method as LogitDetectorMethod, settings as LogitDetectorOptions);
}
