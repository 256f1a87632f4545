import type { Detector } from "@logits/ood";
import { partOf, randomSource, rangeError, readJson, type Steps } from "@logits/tensor";
import { areaOf } from "./areaOf.ts";
import { fitChoice, isDetector, methodOf, nameOf, type DetectorChoice } from "./detectorChoice.ts";
import { detectorScores } from "./detectorScores.ts";
import { halves } from "./halves.ts";
import { type HeadInput, type LabelledRows, type Rows } from "./rows.ts";

/** How a detector was chosen among several. */
export interface Selection {
  /** What there was to choose from, in the order of the options. */
  readonly candidates: readonly string[];
  /** AUROC of each: outliers against fit rows that did not fit it. */
  readonly auroc: readonly number[];
  /** Fit rows that were scored. */
  readonly rows: number;
  readonly outliers: number;
}

/** A detector and how it was chosen. */
export interface Chosen {
  readonly detector: Detector;
  readonly selection?: Selection;
}

/** The data that ask for a detector. */
interface Asked {
  readonly fitted?: Detector;
  readonly outliers?: unknown;
}

/** The options that do. */
interface AskedOptions {
  readonly detector?: DetectorChoice | readonly DetectorChoice[];
  readonly maxFalsePositiveRate?: number;
  readonly confidence?: number | "marginal";
  readonly guarantee?: "all" | "accepted";
  readonly input?: HeadInput;
}

/** The detectors to choose from; none where nothing asks for one. */
export function candidatesOf(where: string, { fitted, outliers }: Asked, options: AskedOptions, features: boolean): readonly DetectorChoice[] {
  const { detector, maxFalsePositiveRate, confidence, guarantee, input = "logits" } = options;
  const asked = detector === undefined ? undefined : Array.isArray(detector) ? (detector as readonly DetectorChoice[]) : [detector as DetectorChoice];
  if (asked?.length === 0) throw rangeError(where, "detector", "at least one", "an empty list");
  const wanted = asked !== undefined || fitted !== undefined || outliers !== undefined || maxFalsePositiveRate !== undefined || confidence !== undefined || guarantee === "accepted";
  if (!wanted) return [];
  const own: readonly DetectorChoice[] = asked ?? (outliers !== undefined
    ? [...(input === "logits" ? ["msp", "maxLogit", "energy", "entropy"] as const : ["msp", "entropy", "margin"] as const), ...(features ? ["mahalanobis", "knn"] as const : [])]
    : fitted !== undefined ? [] : [features ? "mahalanobis" : "msp"]);
  const list = fitted === undefined ? own : [fitted, ...own];
  if (list.length === 1 && outliers !== undefined) throw rangeError(where, "outliers", "nothing where there is one detector", "rows", "`evaluate` measures how many of them it flags");
  if (input === "probabilities") {
    const odd = list.find((choice) => methodOf(choice) === "energy");
    if (odd !== undefined) throw rangeError(where, "detector", 'another than "energy" for probabilities', '"energy"', "The energy of a row of probabilities is 0, whatever they are; pass logits");
  }
  return list;
}

/**
 * Fits the detector on the fit rows. Of several candidates the one that tells the outliers best from fit rows: each is fitted on one half of the fit rows and scored on the other,
 * the winner is fitted on all. The first of equals wins. Calibration rows take no part.
 */
export function* chooseDetector(where: string, candidates: readonly DetectorChoice[], fit: LabelledRows, outliers: Rows | undefined, seed: number): Steps<Chosen> {
  if (candidates.length === 1) return { detector: yield* fitChoice(where, candidates[0], fit) };
  if (outliers === undefined) throw rangeError(where, "outliers", `to choose among ${candidates.length} detectors`, "nothing", "Pass rows known to be outside, or one detector; `selectDetector` chooses without");
  if (outliers.logits.shape[0] === 0) throw rangeError(where, "outliers", "of at least one row", "none");
  if (fit.labels.size < 2) throw rangeError(where, "detector", "one detector where there are fewer than 2 fit rows", `${candidates.length}`);
  const [own, held] = yield* partOf(halves(fit, randomSource(seed, 1)), 0, 0.1);
  const areas: number[] = [], names: string[] = [];
  const each = 0.6 / candidates.length;
  for (let i = 0; i < candidates.length; i++) {
    const start = 0.1 + i * each, choice = candidates[i];
    const detector = yield* partOf(fitChoice(where, choice, own), start, 0.7 * each);
    names.push(nameOf(choice, detector));
    const inside = yield* partOf(detectorScores(where, detector, held, ""), start + 0.7 * each, 0.2 * each);
    areas.push(areaOf(inside, yield* partOf(detectorScores(where, detector, outliers, "outliers."), start + 0.9 * each, 0.1 * each)));
    // Matrices in WebAssembly memory; a detector that was given belongs to the caller.
    if (!isDetector(choice)) detector.dispose?.();
  }
  return {
    detector: yield* partOf(fitChoice(where, candidates[areas.indexOf(Math.max(...areas))], fit), 0.7, 0.3),
    selection: { candidates: names, auroc: areas, rows: held.labels.size, outliers: outliers.logits.shape[0] },
  };
}

/** `selection` of an artefact. */
export function selectionOf(where: string, json: unknown): Selection {
  const fields = readJson(where, typeof json === "object" && json !== null && !Array.isArray(json) ? { ...json, format: "selection", version: 1 } : json, "selection", 1, "@logits/head");
  const candidates = fields.strings("candidates"), auroc = fields.value("auroc");
  if (candidates.length < 2) fields.fail("candidates", "at least 2", `${candidates.length}`);
  if (!Array.isArray(auroc) || auroc.length !== candidates.length || !auroc.every((area) => typeof area === "number" && area >= 0 && area <= 1)) return fields.fail("auroc", `${candidates.length} numbers in [0, 1]`, JSON.stringify(auroc));
  return { candidates, auroc: [...(auroc as number[])], rows: fields.integer("rows", 1, Number.MAX_SAFE_INTEGER), outliers: fields.integer("outliers", 1, Number.MAX_SAFE_INTEGER) };
}
