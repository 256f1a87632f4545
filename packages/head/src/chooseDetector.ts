import { auroc } from "@logits/metrics";
import { fitDetectorSteps, type Detector, type DetectorSpec } from "@logits/ood";
import { Tensor, randomSource, rangeError, readJson, typeError, partOf, type Steps } from "@logits/tensor";
import { pieceOf, taken, type HeadInput, type LabelledRows, type Rows } from "./rows.ts";

/** A detector by name or options, to be fitted on the fit rows, or one that is fitted already. */
export type DetectorChoice = DetectorSpec | Detector;

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

/** Whether a choice is a fitted detector. */
export function isDetector(choice: DetectorChoice): choice is Detector {
  return typeof choice === "object" && choice !== null && typeof (choice as Detector).score === "function";
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
    const odd = list.find((choice) => (typeof choice === "string" ? choice : choice.method) === "energy");
    if (odd !== undefined) throw rangeError(where, "detector", 'another than "energy" for probabilities', '"energy"', "The energy of a row of probabilities is 0, whatever they are; pass logits");
  }
  return list;
}

/**
 * Fits the detector on the fit rows. Of several candidates the one that tells the outliers best from fit rows: each is fitted on one half of the fit rows and scored on the other,
 * the winner is fitted on all. The first of equals wins. Calibration rows take no part.
 */
export function* chooseDetector(where: string, candidates: readonly DetectorChoice[], fit: LabelledRows, outliers: Rows | undefined, seed: number): Steps<Chosen> {
  const classes = fit.logits.shape[1];
  function* made(choice: DetectorChoice, rows: LabelledRows): Steps<Detector> {
    return isDetector(choice) ? choice : yield* fitDetectorSteps(where, choice, { ...rows, classes }, "detector");
  }
  if (candidates.length === 1) return { detector: yield* made(candidates[0], fit) };
  if (outliers === undefined) throw rangeError(where, "outliers", `to choose among ${candidates.length} detectors`, "nothing", "Pass rows known to be outside, or one detector");
  if (outliers.logits.shape[0] === 0) throw rangeError(where, "outliers", "of at least one row", "none");
  const rows = fit.labels.size, half = Math.floor(rows / 2);
  if (half < 1) throw rangeError(where, "detector", "one detector where there are fewer than 2 fit rows", `${candidates.length}`);
  const order = randomSource(seed, 1).permutation(rows);
  const own = yield* partOf(taken(fit, order.subarray(0, half)), 0, 0.05), held = yield* partOf(taken(fit, order.subarray(half)), 0.05, 0.05);
  const areas: number[] = [];
  const each = 0.6 / candidates.length;
  for (let i = 0; i < candidates.length; i++) {
    const start = 0.1 + i * each;
    const detector = yield* partOf(made(candidates[i], own), start, 0.7 * each);
    const inside = yield* partOf(detectorScores(where, detector, held, ""), start + 0.7 * each, 0.2 * each);
    const outside = yield* partOf(detectorScores(where, detector, outliers, "outliers."), start + 0.9 * each, 0.1 * each);
    const scores = new Float32Array(inside.length + outside.length), positives = new Uint8Array(scores.length);
    scores.set(inside);
    scores.set(outside, inside.length);
    areas.push(auroc(scores, positives.fill(1, inside.length)));
    // Matrices in WebAssembly memory; a detector that was given belongs to the caller.
    if (!isDetector(candidates[i])) detector.dispose?.();
  }
  const best = areas.indexOf(Math.max(...areas));
  return {
    detector: yield* partOf(made(candidates[best], fit), 0.7, 0.3),
    selection: { candidates: candidates.map(nameOf), auroc: areas, rows: held.labels.size, outliers: outliers.logits.shape[0] },
  };
}

/** Scores of rows that must have one, in pieces of a few milliseconds: a row's score does not depend on its batch. */
export function* detectorScores(where: string, detector: Detector, rows: Rows, prefix: string): Steps<Float32Array> {
  const count = rows.logits.shape[0];
  checkNeeds(where, detector, rows, prefix);
  const out = new Float32Array(count);
  for (let from = 0, to = 0, piece = 32; from < count; from = to) {
    const start = performance.now();
    to = Math.min(count, from + piece);
    out.set(scoresOf(detector, cut(rows, from, to)), from);
    const bad = out.subarray(from, to).findIndex((score) => score !== score);
    if (bad >= 0) throw rangeError(where, `${prefix}${detector.needs.includes("features") ? "features" : "logits"}`, `with a score by the detector "${detector.method}"`, `NaN for row ${from + bad}`);
    if (performance.now() - start < 2) piece *= 2;
    yield to / count;
  }
  return out;
}

/** A calibration row among the rows of the detector's fit is an error. `rows` says which rows of the argument these are. */
export function* checkFingerprints(where: string, argument: string, detector: Detector, { logits, features }: Rows, rows?: Int32Array): Steps<void> {
  const { fingerprints } = detector;
  if (fingerprints === undefined || features === undefined) return;
  const count = logits.shape[0], piece = pieceOf(features.shape[1]);
  for (let from = 0; from < count; from += piece) {
    const shared = fingerprints.firstShared(cut({ logits, features }, from, Math.min(count, from + piece)).features!);
    if (shared >= 0) throw rangeError(where, argument, "of calibration rows that did not fit the detector", `row ${rows ? rows[from + shared] : from + shared}, which is one of its fit`, `${rows ? "Leave one of the equal rows out" : "Take it out of one of the two"}: the promises rest on rows of their own. If they are different examples, pass \`duplicates: "allowed"\``);
    yield from / count;
  }
}

/** Rows [from, to), without a copy. */
function cut({ logits, features }: Rows, from: number, to: number): Rows {
  const part = (x: Tensor<"float32">): Tensor<"float32"> => new Tensor("float32", [to - from, x.shape[1]], x.data.subarray(from * x.shape[1], to * x.shape[1]));
  return { logits: part(logits), ...(features && { features: part(features) }) };
}

/** Only what the detector needs is handed to it. */
export function scoresOf(detector: Detector, { logits, features }: Rows): Float32Array {
  const { needs } = detector;
  return detector.score({ ...(needs.includes("logits") && { logits }), ...(needs.includes("features") && { features }) }).data;
}

/** Whether the rows have what the detector needs. */
export function checkNeeds(where: string, detector: Detector, rows: Rows, prefix: string): void {
  const { needs, method, features: width } = detector;
  if (!needs.includes("features")) return;
  if (rows.features === undefined) throw typeError(where, `${prefix}features`, `dense features, which the detector "${method}" needs`, "nothing");
  if (width !== undefined && rows.features.shape[1] !== width) throw rangeError(where, `${prefix}features`, `of ${width} features on the last axis, as the fit had`, `${rows.features.shape[1]}`);
}

function nameOf(choice: DetectorChoice): string {
  return typeof choice === "string" ? choice : isDetector(choice) ? choice.method : JSON.stringify(choice);
}

/** `selection` of an artefact. */
export function selectionOf(where: string, json: unknown): Selection {
  const fields = readJson(where, typeof json === "object" && json !== null && !Array.isArray(json) ? { ...json, format: "selection", version: 1 } : json, "selection", 1, "@logits/head");
  const candidates = fields.strings("candidates"), auroc = fields.value("auroc");
  if (candidates.length < 2) fields.fail("candidates", "at least 2", `${candidates.length}`);
  if (!Array.isArray(auroc) || auroc.length !== candidates.length || !auroc.every((area) => typeof area === "number" && area >= 0 && area <= 1)) return fields.fail("auroc", `${candidates.length} numbers in [0, 1]`, JSON.stringify(auroc));
  return { candidates, auroc: [...(auroc as number[])], rows: fields.integer("rows", 1, Number.MAX_SAFE_INTEGER), outliers: fields.integer("outliers", 1, Number.MAX_SAFE_INTEGER) };
}
