import { rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector } from "./detector.ts";
import { LogitDetector, type LogitDetectorMethod } from "./logitDetector.ts";
import { MahalanobisDetector } from "./mahalanobis.ts";
import { NearestNeighborDetector } from "./nearestNeighborDetector.ts";

/** Which detector, by name or by name and settings. */
export type DetectorSpec =
  | LogitDetectorMethod
  | "mahalanobis"
  | "knn"
  | { readonly method: LogitDetectorMethod; readonly temperature?: number }
  | { readonly method: "mahalanobis"; readonly shrinkage?: number }
  | { readonly method: "knn"; readonly k?: number; readonly normalize?: boolean };

/** Rows to fit a detector on. */
export interface DetectorFitRows {
  /** float32 [N, F]: for "mahalanobis" and "knn". */
  readonly features?: TensorLike;
  /** int32 [N], in [0, C): for "mahalanobis". */
  readonly labels?: TensorLike;
  /** C. Default: one more than the largest label. */
  readonly classes?: number;
  /** float32 [N, C]. No detector fits on them so far. */
  readonly logits?: TensorLike;
}

const SETTINGS: Readonly<Record<string, readonly string[]>> = {
  msp: ["temperature"], maxLogit: ["temperature"], energy: ["temperature"], entropy: ["temperature"], margin: ["temperature"],
  mahalanobis: ["shrinkage"], knn: ["k", "normalize"],
};

/**
 * Fits the detector that is named: for settings that are data. The detectors of logits ("msp", "maxLogit", "energy", "entropy", "margin") need no rows.
 *
 * @param spec - a name, or `{ method, ...settings }`: `temperature` for logits, `shrinkage` for "mahalanobis", `k` and `normalize` for "knn"
 * @param rows - `features` float32 [N, F] and `labels` int32 [N] where the method needs them, `classes`
 * @throws RangeError for an unknown method or setting, rows that the method needs and that are not there, and what the fit itself refuses
 * @example
 *   fitDetector({ method: "knn", k: 1 }, { features: [[1, 0], [0, 1]] }).score({ features: [[1, 1]] }); // 0.7654
 */
export function fitDetector(spec: DetectorSpec, rows: DetectorFitRows = {}): Detector {
  return runSteps(fitDetectorSteps("fitDetector", spec, rows));
}

/** `fitDetector` with pauses: the same bits. Rejects with the signal's reason on abort. */
export async function fitDetectorAsync(spec: DetectorSpec, rows: DetectorFitRows = {}, options: LongWorkOptions = {}): Promise<Detector> {
  return runStepsAsync(fitDetectorSteps("fitDetectorAsync", spec, rows), options);
}

/** The pieces of `fitDetector`, for an object that is composed of several fits; `where` names the caller in errors and `argument` what it calls the spec. */
export function* fitDetectorSteps(where: string, spec: DetectorSpec, rows: DetectorFitRows, argument = "spec"): Steps<Detector> {
  const settings = (typeof spec === "string" ? { method: spec } : spec) as Exclude<DetectorSpec, string>;
  const method: string = settings?.method;
  if (!Object.hasOwn(SETTINGS, `${method}`)) throw rangeError(where, argument, Object.keys(SETTINGS).map((name) => `"${name}"`).join(", "), `${method}`);
  const unknown = Object.keys(settings).find((name) => name !== "method" && !SETTINGS[method].includes(name));
  if (unknown !== undefined) throw rangeError(where, argument, `with the settings of ${method} (${SETTINGS[method].join(", ")})`, `${unknown}`);
  const need = (name: "features" | "labels"): TensorLike => {
    const value = rows[name];
    if (value === undefined) throw rangeError(where, name, `for the method ${method}`, "none");
    return value;
  };
  if (settings.method === "mahalanobis") return yield* MahalanobisDetector.fitSteps(where, need("features"), need("labels"), { ...settings, classes: rows.classes });
  if (settings.method === "knn") return yield* NearestNeighborDetector.fitSteps(where, need("features"), settings);
  return LogitDetector.of(settings.method, settings.temperature === undefined ? {} : { temperature: settings.temperature });
}
