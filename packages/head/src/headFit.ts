import { TemperatureScaling } from "@logits/calibration";
import { SplitConformal, type ConformalMethod } from "@logits/conformal";
import { core } from "@logits/core-wasm";
import { ConformalPValues, Threshold, type Detector } from "@logits/ood";
import { Tensor, partOf, randomSource, rangeError, type CsrMatrix, type Steps, type TensorLike } from "@logits/tensor";
import { candidatesOf, chooseDetector, type Selection } from "./chooseDetector.ts";
import { namesProblem } from "./classNames.ts";
import type { DetectorChoice } from "./detectorChoice.ts";
import { checkFingerprints, detectorScores } from "./detectorScores.ts";
import { rowByRow, type Fold } from "./folds.ts";
import type { Guard, HeadParts } from "./headParts.ts";
import { areProbabilities, labelsOf, pieceOf, taken, usableRows, type HeadInput, type LabelledRows, type RowFields, type Rows } from "./rows.ts";
import { rowsDigest } from "./rowsDigest.ts";
import type { Scorer } from "./scorer.ts";
import { checkApart } from "./sharedRow.ts";

interface CommonData<L extends string> {
  /** int32 [N], in [0, C). */
  readonly labels: TensorLike;
  /** C different class names, in the order of the logits. */
  readonly classes: readonly L[];
  /** Rows for threshold and sets, none of them among the rows above, which are all fit rows then. Without: `split` divides the rows above. */
  readonly calibration?: RowFields & { readonly labels: TensorLike };
  /**
   * Rows whose numbers are the same on both sides of a promise. "allowed": they are other examples (a text that people wrote twice, a picture that a data set has twice) and no error; the
   * caller vouches for the rows. A row that was copied to weigh more breaks the promises. Default "error".
   */
  readonly duplicates?: "error" | "allowed";
  /** A detector that was fitted on the rows that trained the model. A calibration row among them is an error (a detector read from JSON no longer knows its rows). */
  readonly fitted?: Detector;
  /** Rows known to be outside, none of them among the labelled ones, to choose among several detectors. They take no part in any promise. */
  readonly outliers?: RowFields;
}

/** Labelled outputs of a model on rows that did not train it; or labelled features and a scorer that makes logits of them. */
export type DecisionHeadData<L extends string> = CommonData<L> & (
  | {
    /** float32 [N, C]; probabilities where the option `input` says so. */
    readonly logits: TensorLike;
    /** float32 [N, F], for detectors that need them. */
    readonly features?: TensorLike;
    readonly scorer?: undefined;
  }
  | {
    /** Makes the logits; not trained on these rows, which nothing checks: on its own rows the sets miss several times as often as promised. The artefact carries it. */
    readonly scorer: Scorer;
    /** float32 [N, F], or CSR where no detector needs them. */
    readonly features: TensorLike | CsrMatrix;
    readonly logits?: undefined;
  }
);

/** Options of `DecisionHead.fit`. */
export interface DecisionHeadOptions {
  /** Share of the rows that are fit rows, in (0, 1); the others are calibration rows. Default 0.5. Not with `calibration` rows of their own. */
  readonly split?: number;
  /** Seed of every split (and of randomised sets), an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Promised miscoverage, in (0, 1). Default 0.1. */
  readonly alpha?: number;
  /** Default "lac". All but "lac" and "margin" draw by row id: `decide` needs one then. */
  readonly method?: ConformalMethod;
  /** What `logits` holds, here and at every decision. Default "logits", but an error where all rows are probabilities; "probabilities" become logits by ln max(p, 2^-126). */
  readonly input?: HeadInput;
  /**
   * What tells unlike rows: a method, a method with its options, a function that fits a detector of any class on the fit rows, a fitted detector, or a list of these, of which the one that
   * tells `outliers` best from fit rows is chosen. Default, where another option asks for a detector: `fitted` if given; "mahalanobis" where there are dense features, else "msp"; with
   * `outliers` a choice among all that the data allow. `(rows) => selectDetector([...], rows).detector` chooses without outliers, or within budgets.
   */
  readonly detector?: DetectorChoice | readonly DetectorChoice[];
  /** Largest share of rows like the calibration rows that may be `unknown`, in (0, 1). Default 0.05. */
  readonly maxFalsePositiveRate?: number;
  /** Probability, over the drawing of the calibration rows, that the share is kept; in (0, 1). Default 0.95. "marginal": the share is kept in the mean. */
  readonly confidence?: number | "marginal";
  /** Which rows the sets cover: "all", or "accepted", those that the detector does not flag; then the calibration rows are split again, half for the threshold. Default "all". */
  readonly guarantee?: "all" | "accepted";
  /** K folds in place of a split, where rows are few: every row fits and calibrates, the promises are twice alpha and twice the false-positive rate. An integer in [2, N]. LAC only. */
  readonly crossFit?: number;
}

/** The parts of a head in pieces: fit rows give the calibrator, the statistics of the detector and every choice; calibration rows the threshold, the p-values and the quantile. */
export function* fitSteps<L extends string>(where: string, data: DecisionHeadData<L>, options: DecisionHeadOptions): Steps<HeadParts<L>> {
  const { seed = 0, alpha = 0.1, method = "lac", input = "logits", guarantee = "all", maxFalsePositiveRate = 0.05, confidence = 0.95, crossFit } = options, split = options.split ?? 0.5;
  const { scorer, outliers } = data;
  if (!(split > 0 && split < 1)) throw rangeError(where, "split", "in (0, 1)", `${split}`);
  if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
  if (input !== "logits" && input !== "probabilities") throw rangeError(where, "input", '"logits" or "probabilities"', `${input as string}`);
  if (scorer !== undefined && input !== "logits") throw rangeError(where, "input", '"logits" where there is a `scorer`', `"${input}"`);
  if (guarantee !== "all" && guarantee !== "accepted") throw rangeError(where, "guarantee", '"all" or "accepted"', `${guarantee as string}`);
  if (!(maxFalsePositiveRate > 0 && maxFalsePositiveRate < 1)) throw rangeError(where, "maxFalsePositiveRate", "in (0, 1)", `${maxFalsePositiveRate}`);
  if (!(confidence === "marginal" || (confidence > 0 && confidence < 1))) throw rangeError(where, "confidence", 'in (0, 1) or "marginal"', `${confidence}`);
  const read = yield* partOf(usableRows(where, "", data, input, scorer), 0, 0.05);
  if (options.input === undefined && scorer === undefined && areProbabilities(read.logits)) {
    throw rangeError(where, "logits", "of scores before the softmax", "probabilities: each row >= 0 with a sum of 1", 'Pass `input: "probabilities"`, or `input: "logits"` if that is what they are');
  }
  const all: LabelledRows = { ...read, labels: labelsOf(where, "labels", data.labels, read) };
  const width = all.logits.shape[1], rows = all.labels.size;
  // In calibration rows of their own an impossible label is a row that no set covers, as it should be.
  for (let row = 0; row < rows; row++) {
    const label = all.labels.data[row];
    if (all.logits.data[row * width + label] === -Infinity) throw rangeError(where, "labels", "possible under the logits", `label ${label} of row ${row}, whose score is -Infinity`, "No temperature makes it possible; raise the score (without the row the promise would be too good)");
  }
  const wrong = namesProblem(data.classes, width);
  if (wrong !== undefined) throw rangeError(where, "classes", `${width} different names`, wrong);
  const outside = outliers && (yield* usableRows(where, "outliers.", outliers, input, scorer));
  if (outside && outside.logits.shape[1] !== width) throw rangeError(where, "outliers.logits", `of ${width} classes on the last axis`, `shape [${outside.logits.shape.join(", ")}]`);
  if (outside && data.duplicates !== "allowed") yield* checkApart(where, "outliers", outside, all, "the labelled ones");
  const candidates = candidatesOf(where, data, options, all.features !== undefined);
  const common = { library: core.version, classes: data.classes, input, alpha, guarantee, seed, scorer } as const;
  if (crossFit !== undefined) return yield* partOf(crossFitSteps(where, common, data, options, all, candidates, outside), 0.05, 0.95);

  let given: LabelledRows | undefined;
  if (data.calibration) {
    const own = yield* usableRows(where, "calibration.", data.calibration, input, scorer);
    given = { ...own, labels: labelsOf(where, "calibration.labels", data.calibration.labels, own) };
    if (options.split !== undefined) throw rangeError(where, "split", "nothing where `calibration` rows are given", `${split}`);
    if (own.logits.shape[1] !== width) throw rangeError(where, "calibration.logits", `of ${width} classes on the last axis`, `shape [${own.logits.shape.join(", ")}]`);
    if (data.duplicates !== "allowed") {
      yield* checkApart(where, "calibration", own, all, "the others");
      if (outside) yield* checkApart(where, "outliers", outside, own, "the calibration rows");
    }
  }
  if (given?.labels.size === 0) throw rangeError(where, "calibration", "of at least one row", "none");
  const fitRows = given ? rows : Math.floor(rows * split);
  if (fitRows < 1 || (!given && fitRows >= rows)) throw rangeError(where, "split", "that leaves a row for the calibrator and one for the conformal scores", `${split} of ${rows} rows`);
  const order = given ? undefined : randomSource(seed, 0).permutation(rows);
  yield 0.05;
  const fit = order ? yield* partOf(taken(all, order.subarray(0, fitRows)), 0.05, 0.02) : all;
  const calibrator = yield* partOf(TemperatureScaling.fitSteps(where, fit.logits, fit.labels), 0.07, 0.33);
  const chosen = candidates.length > 0 ? yield* partOf(chooseDetector(where, candidates, fit, outside, seed), 0.4, 0.3) : undefined;
  const calibration = given ?? (yield* partOf(taken(all, order!.subarray(fitRows)), 0.7, 0.02));
  const calibrationRows = calibration.labels.size;
  if (chosen && data.duplicates !== "allowed") yield* checkFingerprints(where, given ? "calibration.features" : "features", chosen.detector, calibration, order?.slice(fitRows).sort());
  let guard: Guard | undefined, forSets = calibration;
  if (chosen) {
    const { detector } = chosen;
    let forThreshold = calibration;
    if (guarantee === "accepted") {
      if (calibrationRows < 2) throw rangeError(where, "calibration", 'of at least 2 rows with `guarantee` "accepted"', `${calibrationRows}`);
      const half = calibrationRows >> 1, again = randomSource(seed, 2).permutation(calibrationRows);
      forThreshold = yield* taken(calibration, again.subarray(0, half));
      forSets = yield* taken(calibration, again.subarray(half));
    }
    const scores = yield* partOf(detectorScores(where, detector, forThreshold, given ? "calibration." : ""), 0.72, 0.1);
    guard = { detector, threshold: Threshold.fit(scores, { maxFalsePositiveRate, confidence }), pValues: ConformalPValues.fit(scores) };
    if (guarantee === "accepted") {
      // Given the threshold part, acceptance is a fixed function of a row. So, given how many rows of this part are accepted, these and a new accepted row are
      // exchangeable, and the conformal quantile of theirs covers it: P(class in set | accepted) >= 1 - alpha.
      const own = yield* partOf(detectorScores(where, detector, forSets, given ? "calibration." : ""), 0.82, 0.08);
      const accepted = Int32Array.from(own.keys()).filter((row) => !guard!.threshold.exceeds(own[row]));
      if (accepted.length === 0) throw rangeError(where, "calibration", "of which the detector accepts a row", `${own.length} flagged rows of ${own.length} in the second part`, "More calibration rows, or a lower `maxFalsePositiveRate`");
      forSets = yield* taken(forSets, accepted);
    }
  }
  const conformal = yield* partOf(SplitConformal.fitSteps(where, yield* partOf(transformed(calibrator, forSets.logits), 0.9, 0.05), forSets.labels, { method, seed }), 0.95, 0.05);
  const calibrationHash = yield* partOf(rowsDigest(calibration.logits, calibration.labels), 0.99, 0.01);
  return { ...common, split: given ? "given" : split, calibrationRows, calibrationHash, calibrator, conformal, guard, selection: chosen?.selection };
}

/** The same on K folds: each is calibrated by the fit of the others. */
function* crossFitSteps<L extends string>(
  where: string, common: Pick<HeadParts<L>, "library" | "classes" | "input" | "alpha" | "guarantee" | "seed" | "scorer">, data: DecisionHeadData<L>, options: DecisionHeadOptions, all: LabelledRows, candidates: readonly DetectorChoice[],
  outside: Rows | undefined,
): Steps<HeadParts<L>> {
  const count = options.crossFit!, rows = all.labels.size, { seed } = common;
  if (!(Number.isInteger(count) && count >= 2 && count <= rows)) throw rangeError(where, "crossFit", `an integer in [2, ${rows}], the rows`, `${count}`);
  for (const [name, given] of [["split", options.split], ["calibration", data.calibration], ["confidence", options.confidence]] as const) {
    if (given !== undefined) throw rangeError(where, name, "nothing with `crossFit`", name === "calibration" ? "rows" : `${given as number}`);
  }
  if (options.method !== undefined && options.method !== "lac") throw rangeError(where, "method", '"lac" with `crossFit`', `"${options.method}"`);
  if (common.guarantee === "accepted") throw rangeError(where, "guarantee", '"all" with `crossFit`', '"accepted"', "Coverage among accepted rows needs a split");
  const order = randomSource(seed, 0).permutation(rows);
  const folds: Fold[] = [];
  let selection: Selection | undefined;
  for (let k = 0; k < count; k++) {
    const fit = yield* taken(all, order.filter((_, i) => i % count !== k)), own = yield* taken(all, order.filter((_, i) => i % count === k));
    const share = 0.9 / count, start = k * share;
    const calibrator = yield* partOf(TemperatureScaling.fitSteps(where, fit.logits, fit.labels), start, 0.4 * share);
    const chosen = candidates.length > 0 ? yield* partOf(chooseDetector(where, candidates, fit, outside, seed), start + 0.4 * share, 0.4 * share) : undefined;
    if (chosen && data.duplicates !== "allowed") yield* checkFingerprints(where, "features", chosen.detector, own, order.filter((_, i) => i % count === k).sort());
    if (k === 0) selection = chosen?.selection;
    const p = rowByRow(calibrator, own.logits), width = all.logits.shape[1];
    folds.push({
      calibrator,
      scores: ConformalPValues.fit(Float32Array.from(own.labels.data, (label, n) => Math.fround(1 - p[n * width + label]))),
      ...(chosen && { detector: chosen.detector, pValues: ConformalPValues.fit(yield* partOf(detectorScores(where, chosen.detector, own, ""), start + 0.8 * share, 0.2 * share)) }),
    });
  }
  const calibrator = yield* partOf(TemperatureScaling.fitSteps(where, all.logits, all.labels), 0.9, 0.1);
  const rate = options.maxFalsePositiveRate ?? 0.05;
  const calibrationHash = yield* partOf(rowsDigest(all.logits, all.labels), 0.99, 0.01);
  return { ...common, split: "folds", calibrationRows: rows, calibrationHash, calibrator, folds, selection, ...(candidates.length > 0 && { maxFalsePositiveRate: rate }) };
}

/** `calibrator.transform` in pieces. */
function* transformed(calibrator: TemperatureScaling, logits: Tensor<"float32">): Steps<Tensor<"float32">> {
  const [rows, width] = logits.shape, piece = pieceOf(width);
  const out = new Float32Array(rows * width);
  for (let from = 0; from < rows; from += piece) {
    const to = Math.min(rows, from + piece);
    out.set(calibrator.transform(new Tensor("float32", [to - from, width], logits.data.subarray(from * width, to * width))).data, from * width);
    yield to / rows;
  }
  return new Tensor("float32", logits.shape, out);
}
