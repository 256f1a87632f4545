import { TemperatureScaling } from "@logits/calibration";
import { PredictionSets, SplitConformal, type ConformalMethod, type SplitConformalJSON } from "@logits/conformal";
import { core, softmax } from "@logits/core-wasm";
import { ConformalPValues, Threshold, detectorFromJSON, type ConformalPValuesJSON, type Detector, type ThresholdJSON } from "@logits/ood";
import {
  Tensor, randomSource, rangeError, readJson, partOf, runSteps, runStepsAsync,
  type CsrMatrix, type LongWorkOptions, type Steps, type TensorLike,
} from "@logits/tensor";
import { fromArtefact, toArtefact } from "./artefact.ts";
import { candidatesOf, checkFingerprints, checkNeeds, chooseDetector, detectorScores, scoresOf, selectionOf, type DetectorChoice, type Selection } from "./chooseDetector.ts";
import { namesProblem } from "./classNames.ts";
import type { Decision } from "./decision.ts";
import { evaluationOf, type EvaluateOptions, type EvaluationData, type EvaluationReport } from "./evaluate.ts";
import { addCounts, foldOf, foldToJSON, rowByRow, type Fold, type FoldJSON } from "./folds.ts";
import { guaranteesOf, notPromisedOf, percent, type Facts, type Guarantee } from "./guarantees.ts";
import { largest } from "./largest.ts";
import { nested } from "./nested.ts";
import { readRows, type Flags, type ReadRows } from "./readRows.ts";
import { areProbabilities, labelsOf, pieceOf, taken, usableRows, type HeadInput, type LabelledRows, type RowFields, type Rows } from "./rows.ts";
import { rowsDigest } from "./rowsDigest.ts";
import { scorerFromJSON, type Scorer } from "./scorer.ts";
import { checkSelfTest, selfTestRows, selfTestToJSON, type SelfTestJSON } from "./selfTest.ts";
import { checkApart } from "./sharedRow.ts";

const FORMAT = "logits/head";
/** What the numbers of an artefact mean, for readers in other languages. */
const CONVENTIONS = { labels: "index in classes", probabilities: "softmax of logits over temperature", scores: "higher is more out-of-distribution" } as const;

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
   * What tells unlike rows: a method, a method with its options, a fitted detector, or a list of these, of which the one that tells `outliers` best from fit rows is chosen. Default, where
   * another option asks for a detector: `fitted` if given; "mahalanobis" where there are dense features, else "msp"; with `outliers` a choice among all that the data allow.
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

/** Options of `decide` and `decideAll`. */
export interface DecideOptions {
  /** Promised miscoverage of this call. Default: that of the head. */
  readonly alpha?: number;
  /** Randomised sets only (every `method` but "lac" and "margin"): int32 [N], an id of each row that no other row has. `decide` needs one; default of `decideAll`: 0, 1, ... */
  readonly ids?: TensorLike;
}

/** What `DecisionHead` writes as JSON. */
export interface DecisionHeadJSON {
  readonly format: "logits/head";
  readonly version: 1;
  /** Version of the library that fitted. */
  readonly library: string;
  readonly conventions: { readonly labels: string; readonly probabilities: string; readonly scores: string };
  readonly classes: readonly string[];
  readonly input: HeadInput;
  readonly alpha: number;
  readonly guarantee: "all" | "accepted";
  readonly split: number | "given" | "folds";
  readonly seed: number;
  readonly fitRows: number;
  readonly calibrationRows: number;
  /** SHA-256 of the calibration rows: the line "float32 [N, C]", their logits, the line "int32 [N]", their labels, numbers little-endian. */
  readonly calibrationHash: string;
  readonly calibrator: ReturnType<TemperatureScaling["toJSON"]>;
  /** Not in a cross-fitted head. */
  readonly conformal?: SplitConformalJSON;
  /** Cross-fitted heads only. */
  readonly folds?: readonly FoldJSON[];
  /** Cross-fitted heads with a detector only. */
  readonly maxFalsePositiveRate?: number;
  readonly scorer?: ReturnType<Scorer["toJSON"]>;
  readonly detector?: ReturnType<Detector["toJSON"]>;
  readonly threshold?: ThresholdJSON;
  /** Detector scores of the rows of the threshold. */
  readonly pValues?: ConformalPValuesJSON;
  readonly selection?: Selection;
  readonly selfTest: SelfTestJSON;
}

/** The detector of a head with what makes its scores answers. */
interface Guard {
  readonly detector: Detector;
  readonly threshold: Threshold;
  readonly pValues: ConformalPValues;
}

interface Parts<L extends string> {
  readonly library: string;
  readonly classes: readonly L[];
  readonly input: HeadInput;
  readonly alpha: number;
  readonly guarantee: "all" | "accepted";
  readonly split: number | "given" | "folds";
  readonly seed: number;
  readonly calibrationRows: number;
  readonly calibrationHash: string;
  readonly calibrator: TemperatureScaling;
  readonly conformal?: SplitConformal;
  readonly guard?: Guard;
  readonly folds?: readonly Fold[];
  readonly maxFalsePositiveRate?: number;
  readonly scorer?: Scorer;
  readonly selection?: Selection;
}

/**
 * Turns the outputs of a model into decisions: calibrator, detector, threshold, conformal sets and class names in one portable object.
 *
 * The labelled rows are split once by a seeded permutation. Fit rows give the calibrator, the statistics of the detector and every choice; calibration rows give the threshold, the
 * p-values and the quantile of the sets. No row serves both, so that the promises of `guarantees` hold for the whole.
 *
 *   invalid    the scores are no distribution, or a feature is not finite
 *   unknown    detector(row) > threshold
 *   label      the set { c : score(x, c) <= q } holds one class
 *   ambiguous  it holds several
 *
 * With `guarantee: "accepted"` the calibration rows are split again: the first part gives the threshold, the accepted rows of the second the quantile q.
 *
 * @example
 *   const head = DecisionHead.fit({ logits, features, labels, classes: ["cat", "dog", "bird"] }, { alpha: 0.1, maxFalsePositiveRate: 0.05 });
 *   const decision = head.decide({ logits: [4, 1, 0], features: [0.1, 0.7] });
 *   if (decision.kind === "label") console.log(decision.label, decision.probability);
 *
 * Sources: Vovk, Gammerman, Shafer, 2005 (sets, p-values); Tong, Feng, Li, 2018 (threshold); Vovk, "Cross-conformal predictors", 2015, and Vovk and Wang, "Combining p-values via
 * averaging", 2020 (folds).
 */
export class DecisionHead<L extends string = string> {
  /** Class names, in the order of the logits. */
  readonly classes: readonly L[];
  /** What a row of `logits` holds. */
  readonly input: HeadInput;
  /** Promised miscoverage where a call does not ask for another. */
  readonly alpha: number;
  /** Which rows the sets cover. */
  readonly guarantee: "all" | "accepted";
  /** Share of the rows that are fit rows; "given" where the calibration rows came by themselves; "folds" for a cross-fitted head. */
  readonly split: number | "given" | "folds";
  readonly seed: number;
  /** All rows behind threshold and sets. */
  readonly calibrationRows: number;
  readonly calibrator: TemperatureScaling;
  /** undefined: `unknown` never occurs. A cross-fitted head has one in each fold, this is the first; with a choice among several the others may be of other methods. */
  readonly detector: Detector | undefined;
  /** undefined without a detector, and in a cross-fitted head. */
  readonly threshold: Threshold | undefined;
  /** Makes logits of features. */
  readonly scorer: Scorer | undefined;
  /** How the detector was chosen, where there were several; in a cross-fitted head that of the first fold. */
  readonly selection: Selection | undefined;
  /** What a row must bring: "logits", "features" or both. */
  readonly needs: readonly ("logits" | "features")[];
  readonly #conformal: SplitConformal | undefined;
  readonly #guard: Guard | undefined;
  readonly #folds: readonly Fold[] | undefined;
  readonly #maxFalsePositiveRate: number | undefined;
  /** That of each fold in a cross-fitted head: they may be of several methods. */
  readonly #detectors: readonly Detector[];
  readonly #library: string;
  readonly #calibrationHash: string;
  #selfTest: SelfTestJSON | undefined;
  /** Room for the softmax of one row, which the kernel takes four at a time. */
  readonly #four: readonly [z: Tensor<"float32">, p: Tensor<"float32">];

  private constructor(parts: Parts<L>) {
    this.classes = Object.freeze([...parts.classes]);
    this.input = parts.input;
    this.alpha = parts.alpha;
    this.guarantee = parts.guarantee;
    this.split = parts.split;
    this.seed = parts.seed;
    this.calibrationRows = parts.calibrationRows;
    this.calibrator = parts.calibrator;
    this.detector = parts.guard?.detector ?? parts.folds?.[0].detector;
    this.threshold = parts.guard?.threshold;
    this.scorer = parts.scorer;
    this.selection = parts.selection;
    this.#detectors = parts.folds?.flatMap(({ detector }) => detector ?? []) ?? (parts.guard ? [parts.guard.detector] : []);
    const features = this.#detectors.some(({ needs }) => needs.includes("features"));
    this.needs = Object.freeze(parts.scorer ? ["features"] as const : features ? ["logits", "features"] as const : ["logits"] as const);
    this.#conformal = parts.conformal;
    this.#guard = parts.guard;
    this.#folds = parts.folds;
    this.#maxFalsePositiveRate = parts.maxFalsePositiveRate;
    this.#library = parts.library;
    this.#calibrationHash = parts.calibrationHash;
    const four = (): Tensor<"float32"> => new Tensor("float32", [4, this.classes.length], new Float32Array(4 * this.classes.length));
    this.#four = [four(), four()];
    Object.freeze(this);
  }

  /** The conformal sets. RangeError for a cross-fitted head, whose sets come from all folds together. */
  get conformal(): SplitConformal {
    if (this.#conformal === undefined) throw rangeError("DecisionHead.conformal", "this", "fitted with a split", "a cross-fitted head", "Use decideAll or evaluate");
    return this.#conformal;
  }

  /**
   * Fits calibrator and detector on the fit rows, threshold and conformal scores on the calibration rows.
   *
   * @param data - `logits` float32 [N, C] (or `scorer` and `features`), `labels` int32 [N], `classes`: C names, `features` float32 [N, F]; N at least 2; `calibration`, `fitted`, `outliers`
   * @param options - `split` (0.5), `seed` (0), `alpha` (0.1), `method` ("lac"), `input` ("logits"), `detector`, `maxFalsePositiveRate` (0.05), `confidence` (0.95), `guarantee` ("all"), `crossFit`
   * @throws RangeError for another shape, names that are not C different ones, a label outside [0, C), a row without a distribution or with a feature that is not finite, a split that
   *   leaves no row for a step, a calibration row that is also a fit row, an outlier that is a labelled row, rows that are all probabilities where `input` does not say what they are
   */
  static fit<const L extends string>(data: DecisionHeadData<L>, options: DecisionHeadOptions = {}): DecisionHead<L> {
    return runSteps(DecisionHead.#steps("DecisionHead.fit", data, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync<const L extends string>(data: DecisionHeadData<L>, options: DecisionHeadOptions & LongWorkOptions = {}): Promise<DecisionHead<L>> {
    return runStepsAsync(DecisionHead.#steps("DecisionHead.fitAsync", data, options), options);
  }

  static *#steps<L extends string>(where: string, data: DecisionHeadData<L>, options: DecisionHeadOptions): Steps<DecisionHead<L>> {
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
    if (crossFit !== undefined) return yield* partOf(DecisionHead.#crossFit(where, common, data, options, all, candidates, outside), 0.05, 0.95);

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
    return new DecisionHead<L>({ ...common, split: given ? "given" : split, calibrationRows, calibrationHash, calibrator, conformal, guard, selection: chosen?.selection });
  }

  static *#crossFit<L extends string>(
    where: string, common: Pick<Parts<L>, "library" | "classes" | "input" | "alpha" | "guarantee" | "seed" | "scorer">, data: DecisionHeadData<L>, options: DecisionHeadOptions, all: LabelledRows, candidates: readonly DetectorChoice[],
    outside: Rows | undefined,
  ): Steps<DecisionHead<L>> {
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
    return new DecisionHead<L>({ ...common, split: "folds", calibrationRows: rows, calibrationHash, calibrator, folds, selection, ...(candidates.length > 0 && { maxFalsePositiveRate: rate }) });
  }

  /** What is promised, with the rows that it rests on. A call with another `alpha` promises coverage of 1 minus that (minus twice that, where the head is cross-fitted), for an `alpha` that does not depend on the rows. */
  get guarantees(): readonly Guarantee[] {
    return guaranteesOf(this.#facts());
  }

  /** What is not promised, for people. */
  get notPromised(): readonly string[] {
    return notPromisedOf(this.#facts());
  }

  /** The detector's method, or those of the folds. */
  get #method(): string | undefined {
    return this.#detectors.length === 0 ? undefined : [...new Set(this.#detectors.map(({ method }) => method))].join(" or ");
  }

  #facts(): Facts {
    const { alpha, guarantee, split, seed, calibrationRows, calibrator, threshold, detector, scorer } = this, folds = this.#folds;
    const common = { alpha, guarantee, split, seed, fitRows: calibrator.n, calibrationRows, scorer: scorer !== undefined };
    const guarded = detector && { method: this.#method! };
    if (folds !== undefined) {
      const least = folds.length / (calibrationRows + folds.length), rate = this.#maxFalsePositiveRate;
      return { ...common, setRows: calibrationRows, setsAttainable: least <= alpha, folds: folds.length, ...(guarded && { detector: { ...guarded, n: calibrationRows, maxFalsePositiveRate: rate!, confidence: "marginal", attainable: least <= rate!, needed: Math.ceil(folds.length / rate! - 1e-9) - folds.length } }) };
    }
    const { conformal } = this;
    return {
      ...common, setRows: conformal.n, setsAttainable: conformal.quantile(alpha) < Infinity,
      ...(guarded && threshold && { detector: { ...guarded, n: threshold.n, maxFalsePositiveRate: threshold.maxFalsePositiveRate, confidence: threshold.confidence, attainable: threshold.attainable, needed: threshold.needed } }),
    };
  }

  /**
   * The decision for one row.
   *
   * @param row - logits (or probabilities, as `input` says) float32 [C], or `{ logits, features }` with features float32 [F], or with a scorer `{ features }` ([F], or CSR [1, F])
   * @param options - `alpha`, `ids` (one id)
   * @returns `label`, `ambiguous`, `unknown` (the detector's score exceeds the threshold) or `invalid` (NaN, +Infinity, no finite score, a feature that is not finite)
   * @throws RangeError for another shape or alpha, TypeError where something that the head needs is missing
   */
  decide(row: TensorLike | RowFields, options: DecideOptions = {}): Decision<L> {
    const where = "DecisionHead.decide";
    const rows = this.#read(where, row, true);
    if (this.#conformal?.randomize && options.ids === undefined) throw rangeError(where, "ids", "the id of the row", "none", "Randomised sets draw by row id: pass one that no other row has");
    return this.#conformal?.method === "lac" ? this.#decision(where, rows, options.alpha ?? this.alpha) : this.#decisions(where, rows, options)[0];
  }

  /**
   * The decision for each row of a batch, the same as one by one.
   *
   * @param rows - logits (or probabilities) float32 [N, C], or `{ logits, features }` with features float32 [N, F], or with a scorer `{ features }` ([N, F], dense or CSR)
   * @param options - `alpha`, `ids` int32 [N]
   * @throws RangeError for another shape or alpha, TypeError where something that the head needs is missing
   */
  decideAll(rows: TensorLike | RowFields, options: DecideOptions = {}): Decision<L>[] {
    return this.#decisions("DecisionHead.decideAll", this.#read("DecisionHead.decideAll", rows, false), options);
  }

  /**
   * What the head does on labelled rows that took no part in any fit: coverage, false positives, accuracy, and with `outliers` the detection of rows known to be outside.
   *
   * @param data - `logits`, `features` as for `decideAll`, `labels` int32 [N]; `outliers`: rows without labels
   * @param options - `alpha`, `level` of the intervals (0.95), `ids`
   * @throws RangeError for no rows, another shape, a label outside [0, C)
   */
  evaluate(data: EvaluationData, options: EvaluateOptions = {}): EvaluationReport {
    const where = "DecisionHead.evaluate";
    const { alpha = this.alpha, ids } = options;
    const rows = this.#read(where, data, false), outliers = data.outliers && this.#read(where, data.outliers, false, "outliers.");
    const seen = (read: ReadRows) => ({ read, sets: this.#sets(where, read, { alpha, ids }), flags: this.#flags(read) });
    return evaluationOf(where, seen(rows), outliers && { read: outliers, flags: this.#flags(outliers) }, data.labels, options.level ?? 0.95, this.threshold?.maxFalsePositiveRate ?? this.#maxFalsePositiveRate);
  }

  toJSON(): DecisionHeadJSON {
    const { classes, input, alpha, guarantee, split, seed, calibrator, calibrationRows, scorer, selection } = this, folds = this.#folds, guard = this.#guard, rate = this.#maxFalsePositiveRate;
    return {
      format: FORMAT, version: 1, library: this.#library, conventions: CONVENTIONS, classes, input, alpha, guarantee, split, seed, fitRows: calibrator.n, calibrationRows, calibrationHash: this.#calibrationHash, calibrator: calibrator.toJSON(),
      ...(this.#conformal && { conformal: this.#conformal.toJSON() }),
      ...(folds && { folds: folds.map(foldToJSON) }),
      ...(rate !== undefined && { maxFalsePositiveRate: rate }),
      ...(scorer && { scorer: scorer.toJSON() }),
      ...(guard && { detector: guard.detector.toJSON(), threshold: guard.threshold.toJSON(), pValues: guard.pValues.toJSON() }),
      ...(selection && { selection }),
      selfTest: (this.#selfTest ??= selfTestToJSON(this.#numbers())),
    };
  }

  /** The same as a safetensors file that carries a digest of its content. `fromBytes` reads it. */
  toBytes(): Uint8Array {
    return toArtefact(this.toJSON());
  }

  /**
   * Reads what `toJSON` wrote, bit by bit.
   *
   * @param json - a parsed JSON value
   * @throws FormatError, naming the field, for another format or version, a field that is missing or not what it must be, parts that do not belong together, or a self-test that comes
   *   out differently here
   */
  static fromJSON(json: unknown): DecisionHead {
    return DecisionHead.#fromJSON("DecisionHead.fromJSON", json);
  }

  /**
   * Reads what `toBytes` wrote, bit by bit.
   *
   * @param bytes - the whole file
   * @throws TypeError if it is no Uint8Array; FormatError as `fromJSON`, and for a file that is truncated, damaged or of another kind
   */
  static fromBytes(bytes: Uint8Array): DecisionHead {
    return DecisionHead.#fromJSON("DecisionHead.fromBytes", fromArtefact("DecisionHead.fromBytes", bytes));
  }

  static #fromJSON(where: string, json: unknown): DecisionHead {
    const fields = readJson(where, json, FORMAT, 1, "@logits/head");
    const has = (field: string): boolean => Object.hasOwn(json as object, field);
    const classes = fields.strings("classes"), width = classes.length;
    const wrong = namesProblem(classes, width);
    if (wrong !== undefined) fields.fail("classes", "different names", wrong);
    const calibrator = nested(where, "calibrator", () => TemperatureScaling.fromJSON(fields.value("calibrator")));
    if (calibrator.classes !== width) fields.fail("calibrator", `of ${width} classes, as \`classes\` names`, `${calibrator.classes}`);
    const fitRows = fields.integer("fitRows", 1, Number.MAX_SAFE_INTEGER), calibrationRows = fields.integer("calibrationRows", 1, Number.MAX_SAFE_INTEGER);
    if (fitRows !== calibrator.n) fields.fail("fitRows", `${calibrator.n}, the rows of \`calibrator\``, `${fitRows}`);
    const open = (field: "alpha" | "split" | "maxFalsePositiveRate"): number => {
      const value = fields.number(field, 0, 1);
      return value > 0 && value < 1 ? value : fields.fail(field, "in (0, 1)", `${value}`);
    };
    const text = fields.value("split");
    const split = text === "given" || text === "folds" ? text : open("split");
    const guarantee = fields.oneOf("guarantee", ["all", "accepted"]), input = fields.oneOf("input", ["logits", "probabilities"]);
    const scorer = has("scorer") ? nested(where, "scorer", () => scorerFromJSON(fields.value("scorer"))) : undefined;
    if (scorer && scorer.classes !== width) fields.fail("scorer", `of ${width} classes, as \`classes\` names`, `${scorer.classes}`);
    const selection = has("selection") ? selectionOf(`${where}: in \`selection\``, fields.value("selection")) : undefined;
    const calibrationHash = fields.string("calibrationHash");
    if (!/^[0-9a-f]{64}$/.test(calibrationHash)) fields.fail("calibrationHash", "64 hexadecimal digits", "something else");
    const conventions = Object(fields.value("conventions")) as Record<string, unknown>;
    for (const [name, text] of Object.entries(CONVENTIONS)) if (conventions[name] !== text) fields.fail(`conventions.${name}`, JSON.stringify(text), JSON.stringify(conventions[name]) ?? "nothing");
    const common = { library: fields.string("library"), classes, input, alpha: open("alpha"), guarantee, split, seed: fields.integer("seed", 0, Number.MAX_SAFE_INTEGER), calibrationRows, calibrationHash, calibrator, scorer, selection } as const;
    const tested = (head: DecisionHead): DecisionHead => {
      head.#selfTest = nested(where, "selfTest", () => checkSelfTest(where, fields.value("selfTest"), head.#numbers()));
      return head;
    };

    if (split === "folds") {
      if (guarantee !== "all") fields.fail("guarantee", '"all" where `split` is "folds"', `"${guarantee}"`);
      if (fitRows !== calibrationRows) fields.fail("calibrationRows", `${fitRows}, as \`fitRows\` where \`split\` is "folds"`, `${calibrationRows}`);
      const list = fields.value("folds");
      if (!Array.isArray(list) || list.length < 2) return fields.fail("folds", "a list of at least 2", Array.isArray(list) ? `${list.length}` : typeof list);
      const guarded = has("maxFalsePositiveRate") || list.some((fold) => Object.hasOwn(Object(fold), "detector") || Object.hasOwn(Object(fold), "pValues"));
      const folds = list.map((fold, k) => foldOf(where, `folds.${k}`, fold, width, guarded));
      const total = folds.reduce((sum, fold) => sum + fold.scores.n, 0);
      if (total !== calibrationRows) fields.fail("folds", `of ${calibrationRows} rows together, as \`calibrationRows\``, `${total}`);
      return tested(new DecisionHead({ ...common, folds, ...(guarded && { maxFalsePositiveRate: open("maxFalsePositiveRate") }) }));
    }
    const conformal = nested(where, "conformal", () => SplitConformal.fromJSON(fields.value("conformal")));
    if (conformal.needsGroups || conformal.needsWeights || conformal.classGroups) fields.fail("conformal", "of all rows and classes together", "one with groups or weights");
    if (conformal.classes !== width) fields.fail("conformal", `of ${width} classes, as \`classes\` names`, `${conformal.classes}`);
    const guard = has("detector") || has("threshold") || has("pValues") || guarantee === "accepted" ? {
      detector: nested(where, "detector", () => detectorFromJSON(fields.value("detector"))),
      threshold: nested(where, "threshold", () => Threshold.fromJSON(fields.value("threshold"))),
      pValues: nested(where, "pValues", () => ConformalPValues.fromJSON(fields.value("pValues"))),
    } : undefined;
    if (guard && guard.pValues.n !== guard.threshold.n) fields.fail("pValues", `of ${guard.threshold.n} rows, as \`threshold\``, `${guard.pValues.n}`);
    if (guarantee === "all") {
      if (calibrationRows !== conformal.n) fields.fail("calibrationRows", `${conformal.n}, the rows of \`conformal\``, `${calibrationRows}`);
      if (guard && guard.threshold.n !== calibrationRows) fields.fail("threshold", `of ${calibrationRows} rows, as \`calibrationRows\``, `${guard.threshold.n}`);
    } else if (conformal.n + guard!.threshold.n > calibrationRows) fields.fail("calibrationRows", `at least ${conformal.n + guard!.threshold.n}, the rows of \`conformal\` and \`threshold\``, `${calibrationRows}`);
    return tested(new DecisionHead({ ...common, conformal, guard }));
  }

  /** What the self-test compares: each stage on rows of its own, so that one stage's rounding is not the next one's input. */
  #numbers(): Record<string, Tensor<"float32">> {
    const { scorer } = this, numbers: Record<string, Tensor<"float32">> = {}, logits = selfTestRows("logits", this.classes.length);
    if (scorer) numbers.logits = scorer.logits(selfTestRows("features", scorer.features));
    const stages = this.#folds ?? [{ calibrator: this.calibrator, detector: this.detector }];
    stages.forEach(({ calibrator, detector }, k) => {
      const suffix = this.#folds ? `.${k}` : "";
      numbers[`probabilities${suffix}`] = calibrator.probabilities(logits);
      if (detector === undefined) return;
      const { features } = detector;
      // A detector of one's own need not say how many features it takes.
      if (detector.needs.includes("features") && features === undefined) return;
      numbers[`scores${suffix}`] = new Tensor("float32", [logits.shape[0]], scoresOf(detector, { logits, ...(features !== undefined && { features: selfTestRows("features", features) }) }));
    });
    return numbers;
  }

  /** Reads rows; those that cannot be decided are noted and hold stand-ins. */
  #read(where: string, rows: TensorLike | RowFields, single: boolean, prefix = ""): ReadRows {
    const { input, scorer } = this, detectors = this.#detectors;
    const read = readRows(where, { classes: this.classes.length, input, scorer, features: detectors.some(({ needs }) => needs.includes("features")) }, rows, single, prefix);
    for (const detector of detectors) checkNeeds(where, detector, read, prefix);
    return read;
  }

  #sets(where: string, { logits, count }: ReadRows, { alpha, ids }: { readonly alpha: number; readonly ids?: TensorLike }): PredictionSets {
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    const folds = this.#folds, width = this.classes.length;
    if (folds === undefined) return this.conformal.predictionSet(this.calibrator.transform(logits), { alpha, ids });
    // p = (K + #{rows at least as nonconforming, each by the fit of its fold}) / (N + K) is the mean of the K fold p-values, weighted by their sizes: each is a p-value, so P(mean <= a) <= 2 a.
    const p = rowByRow(this.calibrator, logits), sums = new Float64Array(count * width);
    for (const { calibrator, scores } of folds) addCounts(sums, scores, rowByRow(calibrator, logits).map((q) => Math.fround(1 - q)));
    const mask = new Uint8Array(count * width), sizes = new Int32Array(count), total = this.calibrationRows + folds.length;
    for (let n = 0, at = 0; n < count; n++, at += width) {
      let best = at;
      for (let c = at; c < at + width; c++) {
        if (sums[c] / total > alpha) sizes[n] += mask[c] = 1;
        if (p[c] > p[best]) best = c;
      }
      if (sizes[n] === 0) sizes[n] = mask[best] = 1;
    }
    return new PredictionSets(new Tensor("uint8", [count, width], mask), new Tensor("int32", [count], sizes), new Tensor("float32", [count, width], p), alpha, NaN);
  }

  /** What the detector says of each row; a row without a score joins `invalid`. */
  #flags(read: ReadRows): Flags | undefined {
    const { detector } = this, guard = this.#guard, folds = this.#folds;
    if (detector === undefined) return undefined;
    const noScore = (scores: Float32Array, { method }: Detector): void => {
      for (let n = 0; n < read.count; n++) if (scores[n] !== scores[n] && !read.invalid.has(n)) read.invalid.set(n, { code: "NO_SCORE", text: `the ${method} score is NaN` });
    };
    if (guard !== undefined) {
      const scores = scoresOf(detector, read), { threshold, pValues } = guard;
      noScore(scores, detector);
      return { method: detector.method, scores, threshold: threshold.value, flagged: Array.from(scores, (score) => score > threshold.value), pValue: (row) => pValues.pValue(scores[row]) };
    }
    const sums = new Float64Array(read.count), total = this.calibrationRows + folds!.length, rate = this.#maxFalsePositiveRate!;
    for (const fold of folds!) {
      const scores = scoresOf(fold.detector!, read);
      noScore(scores, fold.detector!);
      addCounts(sums, fold.pValues!, scores.map((score) => (score === score ? score : -Infinity)));
    }
    return { method: this.#method!, scores: sums.map((sum) => 1 - sum / total), threshold: 1 - rate, flagged: Array.from(sums, (sum) => sum / total <= rate), pValue: (row) => sums[row] / total };
  }

  #decisions(where: string, read: ReadRows, options: DecideOptions): Decision<L>[] {
    const sets = this.#sets(where, read, { alpha: options.alpha ?? this.alpha, ids: options.ids }), flags = this.#flags(read);
    const out: Decision<L>[] = [];
    for (let row = 0; row < read.count; row++) {
      const why = read.invalid.get(row);
      out.push(why !== undefined ? { kind: "invalid", why } : flags?.flagged[row] ? this.#unknown(largest(sets.probabilities, row), flags, row) : this.#answer(sets, row));
    }
    return out;
  }

  /** `#decisions` for one row and LAC, without the arrays of a batch: the same bits. */
  #decision(where: string, read: ReadRows, alpha: number): Decision<L> {
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    const flags = this.#flags(read), why = read.invalid.get(0), width = this.classes.length;
    if (why !== undefined) return { kind: "invalid", why };
    const [z, out] = this.#four;
    z.data.set(this.calibrator.transform(read.logits).data);
    const p = softmax(z, { out }).data, best = largest(out, 0);
    if (flags?.flagged[0]) return this.#unknown(best, flags, 0);
    const quantile = this.conformal.quantile(alpha);
    let set: number[] | undefined;
    for (let c = 0; c < width; c++) if (c !== best && Math.fround(1 - p[c]) <= quantile) (set ??= [best]).push(c);
    if (set === undefined) return { kind: "label", label: this.classes[best], probability: p[best], set: [this.classes[best]] };
    set.sort((a, b) => p[b] - p[a] || a - b);
    return { kind: "ambiguous", set: set.map((c) => this.classes[c]), probabilities: set.map((c) => p[c]) };
  }

  #unknown(best: number, flags: Flags, row: number): Decision<L> {
    const { method, scores, threshold } = flags, score = scores[row], rate = this.threshold?.maxFalsePositiveRate ?? Math.min(1, 2 * this.#maxFalsePositiveRate!);
    const text = `unlike the rows of the fit: the ${method} score ${shown(score)} ${this.threshold ? "exceeds" : "reaches"} the threshold ${shown(threshold)} for a false-positive rate of at most ${percent(rate)}`;
    return { kind: "unknown", pValue: flags.pValue(row), nearest: this.classes[best], why: { code: "OUT_OF_DISTRIBUTION", text, detector: method, score, threshold } };
  }

  #answer(sets: PredictionSets, row: number): Decision<L> {
    const width = this.classes.length;
    const p = sets.probabilities.data.subarray(row * width, (row + 1) * width);
    const set = sets.labels(row).sort((a, b) => p[b] - p[a] || a - b);
    const names = set.map((c) => this.classes[c]);
    return set.length === 1 ? { kind: "label", label: names[0], probability: p[set[0]], set: names } : { kind: "ambiguous", set: names, probabilities: set.map((c) => p[c]) };
  }
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

function shown(x: number): string {
  return `${+x.toPrecision(4)}`;
}
