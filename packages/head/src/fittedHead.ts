import type { TemperatureScaling } from "@logits/calibration";
import { PredictionSets, type SplitConformal } from "@logits/conformal";
import { softmax } from "@logits/core-wasm";
import type { Detector, Threshold } from "@logits/ood";
import { Tensor, rangeError, type TensorLike } from "@logits/tensor";
import { int32Of } from "./arguments.ts";
import { toArtefact } from "./artefact.ts";
import type { Selection } from "./chooseDetector.ts";
import type { Decision } from "./decision.ts";
import { checkNeeds, scoresOf } from "./detectorScores.ts";
import { addCounts, foldToJSON, rowByRow, type Fold } from "./folds.ts";
import { firstWidth, gpuBatch, gpuLogitsOf, nextWidth, refuseGpu, sketched, spills, statisticsOf, wholeRows, type GpuLogits, type GpuRowFields, type Sketch } from "./gpuRows.ts";
import { guaranteesOf, notPromisedOf, percent, type Facts, type Guarantee } from "./guarantees.ts";
import { CONVENTIONS, FORMAT, type DecisionHeadJSON } from "./headJson.ts";
import type { Guard, HeadParts } from "./headParts.ts";
import { largest } from "./largest.ts";
import { nested } from "./nested.ts";
import { readRows, type Flags, type ReadRows } from "./readRows.ts";
import type { HeadInput, RowFields } from "./rows.ts";
import type { Scorer } from "./scorer.ts";
import { checkSelfTest, selfTestRows, selfTestToJSON, type SelfTestJSON } from "./selfTest.ts";

/** Options of `decide` and `decideAll`. */
export interface DecideOptions {
  /** Promised miscoverage of this call. Default: that of the head. */
  readonly alpha?: number;
  /** Randomised sets only (every `method` but "lac" and "margin"): int32 [N], an id of each row that no other row has. `decide` needs one; default of `decideAll`: 0, 1, ... */
  readonly ids?: TensorLike;
}

/**
 * What `DecisionHead` does once it is fitted: it decides, says what it promises, and writes itself.
 *
 *   invalid    the scores are no distribution, or a feature is not finite
 *   unknown    detector(row) > threshold
 *   label      the set { c : score(x, c) <= q } holds one class
 *   ambiguous  it holds several
 */
export abstract class FittedHead<L extends string = string> {
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

  protected constructor(parts: HeadParts<L>, check?: { readonly where: string; readonly selfTest: unknown }) {
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
    if (check) this.#selfTest = nested(check.where, "selfTest", () => checkSelfTest(check.where, check.selfTest, this.#numbers()));
    Object.freeze(this);
  }

  /** The conformal sets. RangeError for a cross-fitted head, whose sets come from all folds together. */
  get conformal(): SplitConformal {
    if (this.#conformal === undefined) throw rangeError("DecisionHead.conformal", "this", "fitted with a split", "a cross-fitted head", "Use decideAll or evaluate");
    return this.#conformal;
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
    const rows = this.read(where, row, true);
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
    return this.#decisions("DecisionHead.decideAll", this.read("DecisionHead.decideAll", rows, false), options);
  }

  /**
   * `decide` for logits that are on a GPU, which stay there: the head reads the few largest and one number for each statistic that its calibrator and detector ask for, under 64 bytes. Rows of up to
   * 15 classes are read whole, and give the decision of `decide` bit for bit. Of wider ones probabilities and scores are the backend's, within its bounds, and a row whose set may hold
   * more classes than were read, five or six, is read again, with four times as many.
   *
   * @param row - logits on the GPU, float32 [C], as @logits/webgpu makes or adopts them, or `{ logits, features }` with features in memory; a row in memory is decided as by `decide`
   * @param options - `alpha`, `ids` (one id)
   * @returns as `decide`
   * @throws RangeError and TypeError as `decide`, and for a head of probabilities; UnsupportedKernelError for a detector of logits that is not one statistic of them, or one that the backend has not
   */
  async decideAsync(row: TensorLike | RowFields | GpuLogits | GpuRowFields, options: DecideOptions = {}): Promise<Decision<L>> {
    const where = "DecisionHead.decideAsync", logits = gpuLogitsOf(where, row);
    if (logits === undefined) return this.decide(row as TensorLike | RowFields, options);
    if (this.#conformal?.randomize && options.ids === undefined) throw rangeError(where, "ids", "the id of the row", "none", "Randomised sets draw by row id: pass one that no other row has");
    return (await this.#decisionsAsync(where, logits, row as Partial<GpuRowFields>, true, options))[0];
  }

  /**
   * `decideAll` for logits that are on a GPU, as `decideAsync`: under 64 bytes a row are read.
   *
   * @param rows - logits on the GPU, float32 [N, C], or `{ logits, features }` with features in memory; rows in memory are decided as by `decideAll`
   * @param options - `alpha`, `ids` int32 [N]
   * @throws as `decideAsync`
   */
  async decideAllAsync(rows: TensorLike | RowFields | GpuLogits | GpuRowFields, options: DecideOptions = {}): Promise<Decision<L>[]> {
    const where = "DecisionHead.decideAllAsync", logits = gpuLogitsOf(where, rows);
    return logits === undefined ? this.decideAll(rows as TensorLike | RowFields, options) : this.#decisionsAsync(where, logits, rows as Partial<GpuRowFields>, false, options);
  }

  async #decisionsAsync(where: string, logits: GpuLogits, fields: Partial<GpuRowFields>, single: boolean, options: DecideOptions): Promise<Decision<L>[]> {
    if (this.input !== "logits") throw rangeError(where, "logits", "in memory for a head of probabilities", "a tensor on the GPU", "Read it: await logits.read()");
    const width = this.classes.length, x = gpuBatch(where, logits, width, single), [count] = x.shape;
    try {
      // Short rows are read whole: nothing is asked of the backend.
      const statistics = firstWidth(width, 0) < width ? statisticsOf(where, [this.calibrator, ...(this.#folds ?? []).map(({ calibrator }) => calibrator)], this.#detectors) : [];
      const k = firstWidth(width, statistics.length);
      const features = fields.features === undefined ? {} : { features: fields.features };
      const seen = (sketch: Sketch | undefined, scores: Tensor<"float32">): ReadRows => ({ ...this.read(where, { logits: single ? scores.row(0) : scores, ...features }, single), ...(sketch && { sketch }) });
      if (k >= width) return this.#decisions(where, seen(undefined, await wholeRows(x)), options);
      const sketch = await sketched(x, k, statistics);
      const read = seen(sketch, new Tensor("float32", [count, width], new Float32Array(count * width)));
      for (const [row, why] of sketch.invalid) if (!read.invalid.has(row)) read.invalid.set(row, why);
      const alpha = options.alpha ?? this.alpha, sets = this.sets(where, read, { alpha, ids: options.ids }), flags = this.flags(read), decided = this.#decided(read, sets, flags);
      const ids = options.ids === undefined ? undefined : int32Of(where, "ids", options.ids).data;
      const again = Array.from({ length: count }, (_, row) => row).filter((row) => !read.invalid.has(row) && !flags?.flagged[row] && spills(sketch, sets.mask.data, row, width));
      // Rows whose sets may be larger than what was read, each by itself.
      await Promise.all(again.map(async (row) => (decided[row] = this.#answer(await this.#wider(where, x, row, nextWidth(width, k), statistics, { alpha, ids: Int32Array.of(ids ? ids[row] : row) }), 0))));
      return decided;
    } finally {
      x.dispose();
    }
  }

  /** The set of one row on a GPU, from more of its logits. */
  async #wider(where: string, logits: GpuLogits, row: number, from: number, statistics: ReturnType<typeof statisticsOf>, options: { readonly alpha: number; readonly ids: Int32Array }): Promise<PredictionSets> {
    const width = this.classes.length, one = logits.row(row), x = one.reshape([1, width]);
    try {
      for (let k = from; ; k = nextWidth(width, k)) {
        const sketch = k < width ? await sketched(x, k, statistics) : undefined;
        const sets = this.sets(where, { logits: sketch ? new Tensor("float32", [1, width], new Float32Array(width)) : await wholeRows(x), count: 1, invalid: new Map(), ...(sketch && { sketch }) }, options);
        if (!sketch || !spills(sketch, sets.mask.data, 0, width)) return sets;
      }
    } finally {
      for (const tensor of [one, x]) tensor.dispose();
    }
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

  /** The promised false-positive rate of the detector, where there is one. */
  protected get falsePositiveRate(): number | undefined {
    return this.threshold?.maxFalsePositiveRate ?? this.#maxFalsePositiveRate;
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
      numbers[`scores${suffix}`] = new Tensor("float32", [logits.shape[0]], scoresOf(detector, { logits, ...(features !== undefined && { features: selfTestRows(detector.nonNegative ? "sizes" : "features", features) }) }));
    });
    return numbers;
  }

  /** Reads rows; those that cannot be decided are noted and hold stand-ins. */
  protected read(where: string, rows: TensorLike | RowFields, single: boolean, prefix = ""): ReadRows {
    const { input, scorer } = this, detectors = this.#detectors;
    refuseGpu(where, rows, single ? "decideAsync" : "decideAllAsync");
    const read = readRows(where, { classes: this.classes.length, input, scorer, features: detectors.some(({ needs }) => needs.includes("features")) }, rows, single, prefix);
    for (const detector of detectors) checkNeeds(where, detector, read, prefix);
    return read;
  }

  protected sets(where: string, { logits, count, sketch }: ReadRows, { alpha, ids }: { readonly alpha: number; readonly ids?: TensorLike }): PredictionSets {
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    const folds = this.#folds, width = this.classes.length;
    if (folds === undefined) return this.conformal.predictionSet(sketch?.calibrated(this.calibrator) ?? this.calibrator.transform(logits), { alpha, ids });
    // p = (K + #{rows at least as nonconforming, each by the fit of its fold}) / (N + K) is the mean of the K fold p-values, weighted by their sizes: each is a p-value, so P(mean <= a) <= 2 a.
    const probabilities = (calibrator: TemperatureScaling): Float32Array => (sketch ? softmax(sketch.calibrated(calibrator)).data : rowByRow(calibrator, logits));
    const p = probabilities(this.calibrator), sums = new Float64Array(count * width);
    for (const { calibrator, scores } of folds) addCounts(sums, scores, probabilities(calibrator).map((q) => Math.fround(1 - q)));
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
  protected flags(read: ReadRows): Flags | undefined {
    const { detector } = this, guard = this.#guard, folds = this.#folds;
    if (detector === undefined) return undefined;
    const noScore = (scores: Float32Array, { method }: Detector): void => {
      for (let n = 0; n < read.count; n++) if (scores[n] !== scores[n] && !read.invalid.has(n)) read.invalid.set(n, { code: "NO_SCORE", text: `the ${method} score is NaN` });
    };
    if (guard !== undefined) {
      const scores = read.sketch?.scores(detector) ?? scoresOf(detector, read), { threshold, pValues } = guard;
      noScore(scores, detector);
      return { method: detector.method, scores, threshold: threshold.value, flagged: Array.from(scores, (score) => score > threshold.value), pValue: (row) => pValues.pValue(scores[row]) };
    }
    const sums = new Float64Array(read.count), total = this.calibrationRows + folds!.length, rate = this.#maxFalsePositiveRate!;
    for (const fold of folds!) {
      const scores = read.sketch?.scores(fold.detector!) ?? scoresOf(fold.detector!, read);
      noScore(scores, fold.detector!);
      addCounts(sums, fold.pValues!, scores.map((score) => (score === score ? score : -Infinity)));
    }
    return { method: this.#method!, scores: sums.map((sum) => 1 - sum / total), threshold: 1 - rate, flagged: Array.from(sums, (sum) => sum / total <= rate), pValue: (row) => sums[row] / total };
  }

  #decisions(where: string, read: ReadRows, options: DecideOptions): Decision<L>[] {
    return this.#decided(read, this.sets(where, read, { alpha: options.alpha ?? this.alpha, ids: options.ids }), this.flags(read));
  }

  #decided(read: ReadRows, sets: PredictionSets, flags: Flags | undefined): Decision<L>[] {
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
    const flags = this.flags(read), why = read.invalid.get(0), width = this.classes.length;
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

function shown(x: number): string {
  return `${+x.toPrecision(4)}`;
}
