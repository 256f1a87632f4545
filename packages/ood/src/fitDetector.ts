import { rangeError, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector } from "./detector.ts";
import { FeatureEnsemble } from "./featureEnsemble.ts";
import { GaussianPrototypes, type GaussianPrototypesOptions } from "./gaussianPrototypes.ts";
import { HeadDetector, type HeadDetectorMethod } from "./headDetector.ts";
import { HopfieldDetector } from "./hopfieldDetector.ts";
import { KLMatchingDetector } from "./klMatchingDetector.ts";
import type { LinearHead } from "./linearHead.ts";
import { LogitDetector, type LogitDetectorMethod, type LogitDetectorOptions } from "./logitDetector.ts";
import { MahalanobisDetector } from "./mahalanobis.ts";
import { NearestNeighborDetector } from "./nearestNeighborDetector.ts";
import { NecoDetector } from "./neco.ts";
import { NeighborGuidedDetector } from "./neighborGuidedDetector.ts";
import { OpenMaxDetector } from "./openMaxDetector.ts";
import { RelativeMahalanobisDetector } from "./relativeMahalanobis.ts";
import { ResidualDetector } from "./residual.ts";
import { ShapedEnergyDetector, type ShapedEnergyMethod } from "./shapedEnergyDetector.ts";
import { SsdDetector } from "./ssd.ts";
import { VimDetector } from "./vim.ts";

/** Which detector, by name or by name and settings. */
export type DetectorSpec =
  | LogitDetectorMethod
  | "mahalanobis"
  | "knn"
  | "klMatching"
  | "openMax"
  | "she"
  | "nnGuide"
  | ShapedEnergyMethod
  | HeadDetectorMethod
  | "relativeMahalanobis"
  | "ssd"
  | "gaussianPrototypes"
  | "vim"
  | "residual"
  | "neco"
  | { readonly method: LogitDetectorMethod; readonly temperature?: number; readonly gamma?: number; readonly top?: number }
  | { readonly method: "mahalanobis"; readonly shrinkage?: number }
  | { readonly method: "knn"; readonly k?: number; readonly normalize?: boolean; readonly maxRows?: number; readonly scan?: "float32" | "int8" }
  | { readonly method: "klMatching" }
  | { readonly method: "openMax"; readonly tail?: number; readonly revised?: number }
  | { readonly method: "she"; readonly metric?: "inner" | "euclidean" | "cosine" }
  | { readonly method: "nnGuide"; readonly k?: number; readonly maxRows?: number; readonly seed?: number }
  | { readonly method: ShapedEnergyMethod; readonly level?: number; readonly temperature?: number }
  | { readonly method: HeadDetectorMethod; readonly alpha?: number }
  | { readonly method: "relativeMahalanobis"; readonly shrinkage?: number }
  | { readonly method: "ssd"; readonly normalize?: boolean; readonly shrinkage?: number }
  | { readonly method: "featureEnsemble"; readonly widths: readonly number[]; readonly weights?: readonly number[]; readonly shrinkage?: number }
  | ({ readonly method: "gaussianPrototypes" } & GaussianPrototypesOptions)
  | { readonly method: "vim"; readonly dimension?: number; readonly alpha?: number }
  | { readonly method: "residual"; readonly dimension?: number }
  | { readonly method: "neco"; readonly dimension?: number; readonly maxLogit?: boolean };

/** Rows to fit a detector on. */
export interface DetectorFitRows {
  /** float32 [N, F]: for "mahalanobis", "knn", "she", "nnGuide", "react", "dice", "fdbd", "nci", "relativeMahalanobis", "ssd", "featureEnsemble", "gaussianPrototypes", "vim", "residual" and "neco". */
  readonly features?: TensorLike;
  /** int32 [N], in [0, C): for "mahalanobis", "openMax", "she", "relativeMahalanobis", "featureEnsemble", "gaussianPrototypes" and "neco". */
  readonly labels?: TensorLike;
  /** C. Default: one more than the largest label. */
  readonly classes?: number;
  /** float32 [N, C]: for "klMatching", "openMax", "she", "nnGuide" and "vim". */
  readonly logits?: TensorLike;
  /** The classifier's last layer: for "react", "ashP", "ashB", "ashS", "scale", "dice", "fdbd", "nci" and "gradNorm"; "vim" and "residual" take their origin from it if it is there. */
  readonly head?: LinearHead;
}

const SHAPED: readonly ShapedEnergyMethod[] = ["react", "ashP", "ashB", "ashS", "scale", "dice"];
const SETTINGS: Readonly<Record<string, readonly string[]>> = {
  msp: ["temperature"], maxLogit: ["temperature"], energy: ["temperature"], entropy: ["temperature"], margin: ["temperature"],
  odin: ["temperature"], gen: ["temperature", "gamma", "top"],
  mahalanobis: ["shrinkage"], knn: ["k", "normalize", "maxRows", "scan"],
  klMatching: [], openMax: ["tail", "revised"], she: ["metric"], nnGuide: ["k", "maxRows", "seed"],
  react: ["level", "temperature"], ashP: ["level", "temperature"], ashB: ["level", "temperature"], ashS: ["level", "temperature"], scale: ["level", "temperature"], dice: ["level", "temperature"],
  fdbd: [], nci: ["alpha"], gradNorm: [],
  relativeMahalanobis: ["shrinkage"], ssd: ["normalize", "shrinkage"], featureEnsemble: ["widths", "weights", "shrinkage"], gaussianPrototypes: ["covariance", "priorRows", "logDeterminant", "keep"],
  vim: ["dimension", "alpha"], residual: ["dimension"], neco: ["dimension", "maxLogit"],
};

/**
 * Fits the detector that is named: for settings that are data. The detectors of a `LogitDetector` need no rows, "ashP", "ashB", "ashS", "scale" and "gradNorm" only the `head`.
 *
 * @param spec - a name, or `{ method, ...settings }`: the options of its class
 * @param rows - `features` float32 [N, F], `logits` float32 [N, C], `labels` int32 [N] and `head` where the method needs them, `classes`
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
  const need = <Name extends "features" | "labels" | "logits" | "head">(name: Name): NonNullable<DetectorFitRows[Name]> => {
    const value = rows[name];
    if (value === undefined) throw rangeError(where, name, `for the method ${method}`, "none");
    return value;
  };
  if (settings.method === "mahalanobis") return yield* MahalanobisDetector.fitSteps(where, need("features"), need("labels"), { ...settings, classes: rows.classes });
  if (settings.method === "knn") return yield* NearestNeighborDetector.fitSteps(where, need("features"), settings);
  if (settings.method === "klMatching") return yield* KLMatchingDetector.fitSteps(where, need("logits"), {});
  if (settings.method === "openMax") return yield* OpenMaxDetector.fitSteps(where, need("logits"), need("labels"), settings);
  if (settings.method === "she") return yield* HopfieldDetector.fitSteps(where, need("features"), need("logits"), need("labels"), settings);
  if (settings.method === "nnGuide") return yield* NeighborGuidedDetector.fitSteps(where, need("features"), need("logits"), settings);
  if (settings.method === "fdbd" || settings.method === "nci" || settings.method === "gradNorm") {
    return yield* HeadDetector.fitSteps(where, settings.method, need("head"), { ...settings, features: rows.features });
  }
  const { classes, head } = rows;
  if (settings.method === "relativeMahalanobis") return yield* RelativeMahalanobisDetector.fitSteps(where, need("features"), need("labels"), { ...settings, classes });
  if (settings.method === "ssd") return yield* SsdDetector.fitSteps(where, need("features"), settings);
  if (settings.method === "featureEnsemble") return yield* FeatureEnsemble.fitSteps(where, need("features"), need("labels"), { ...settings, classes });
  if (settings.method === "gaussianPrototypes") return yield* GaussianPrototypes.fitSteps(where, need("features"), need("labels"), { ...settings, classes });
  if (settings.method === "vim") return yield* VimDetector.fitSteps(where, need("features"), need("logits"), { ...settings, head });
  if (settings.method === "residual") return yield* ResidualDetector.fitSteps(where, need("features"), { ...settings, head });
  if (settings.method === "neco") return yield* NecoDetector.fitSteps(where, need("features"), need("labels"), { ...settings, classes });
  if (SHAPED.includes(settings.method as ShapedEnergyMethod)) {
    return yield* ShapedEnergyDetector.fitSteps(where, settings.method as ShapedEnergyMethod, need("head"), { ...settings, features: rows.features });
  }
  return LogitDetector.of(settings.method as LogitDetectorMethod, settings as LogitDetectorOptions);
}
