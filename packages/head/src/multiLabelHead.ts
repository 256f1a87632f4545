import { MultiLabelCalibration } from "@logits/calibration";
import { core } from "@logits/core-wasm";
import { sigmoid } from "@logits/statistics";
import {
  Tensor, checkShape, randomSource, rangeError, readJson, partOf, runSteps, runStepsAsync, tensorToJSON,
  type LongWorkOptions, type Steps, type TensorJSON, type TensorLike,
} from "@logits/tensor";
import { float32Of, maskOf } from "./arguments.ts";
import { fromArtefact, toArtefact } from "./artefact.ts";
import { namesProblem } from "./classNames.ts";
import type { InvalidWhy } from "./decision.ts";
import type { Guarantee } from "./guarantees.ts";
import { labelGuarantees, notPromisedOfLabels } from "./labelGuarantees.ts";
import { checkRule, readRule, type LabelRule } from "./labelRule.ts";
import { thresholdSteps } from "./labelThresholds.ts";
import { pieceOf, type Rows } from "./rows.ts";
import { rowsDigest } from "./rowsDigest.ts";
import { scoreOf } from "./scoreOf.ts";
import { checkSelfTest, selfTestRows, selfTestToJSON, type SelfTestJSON } from "./selfTest.ts";
import { checkApart } from "./sharedRow.ts";

const FORMAT = "logits/multi-label-head";
const INPUTS = ["logits", "probabilities"] as const;

/** Outputs of a model with independent labels, and what is true of the rows. */
export interface MultiLabelData<L extends string> {
  /** float32 [N, C]: one score for each label, before the sigmoid (or after it, with `input: "probabilities"`). */
  readonly logits: TensorLike;
  /** uint8 [N, C], 1 = the row has the label. */
  readonly targets: TensorLike;
  /** C different names, in the order of the scores. */
  readonly classes: readonly L[];
  /** Rows for the thresholds, none of them among the rows above, which all fit the calibration then. Without: `split` divides the rows above. */
  readonly calibration?: { readonly logits: TensorLike; readonly targets: TensorLike };
  /** Rows whose scores are the same on both sides of a promise. "allowed": they are other examples and no error; the caller vouches for the rows. Default "error". */
  readonly duplicates?: "error" | "allowed";
}

/** Options of `MultiLabelHead.fit`. */
export interface MultiLabelOptions {
  /** Default: `{ maxMissed: 0.1 }`. */
  readonly rule?: LabelRule;
  /** What the scores are. Default "logits". */
  readonly input?: "logits" | "probabilities";
  /** Share of the rows that fit the calibration, in (0, 1). Default 0.5. Not with `calibration` rows of their own. */
  readonly split?: number;
  /** Seed of the split, an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
}

/** The labels of one row: a union, so that refusal cannot be forgotten. */
export type MultiLabelDecision<L extends string = string> =
  | { readonly kind: "labels"; /** Most probable first; may be empty. */ readonly labels: readonly L[]; /** Calibrated, in the order of `labels`. */ readonly probabilities: readonly number[] }
  | { readonly kind: "invalid"; readonly why: InvalidWhy };

/** What `MultiLabelHead` writes as JSON. */
export interface MultiLabelHeadJSON extends Pick<MultiLabelHead, "classes" | "input" | "rule" | "split" | "seed" | "fitRows" | "calibrationRows"> {
  readonly format: "logits/multi-label-head";
  readonly version: 1;
  /** Version of the library that fitted. */
  readonly library: string;
  /** SHA-256 of the calibration rows: the line "float32 [N, C]", their scores before the sigmoid, the line "int32 [N, C]", their targets, numbers little-endian. */
  readonly calibrationHash: string;
  /** int32 [C]: calibration rows with the label. */
  readonly positives: TensorJSON;
  /** float32 [C]. */
  readonly slopes: TensorJSON;
  /** float32 [C]. */
  readonly intercepts: TensorJSON;
  /** float32 [C], in [0, 1], or 2: never. */
  readonly thresholds: TensorJSON;
  readonly selfTest: SelfTestJSON;
}

interface Parts extends Omit<MultiLabelHeadJSON, "format" | "version" | "positives" | "slopes" | "intercepts" | "thresholds" | "selfTest"> {
  readonly positives: Int32Array;
  readonly slopes: Float32Array;
  readonly intercepts: Float32Array;
  readonly thresholds: Float32Array;
}

/**
 * Labels that do not exclude each other: calibrated probabilities and thresholds that say what they promise.
 *
 *   p_c = sigmoid(a_c z_c + b_c),   label c is given where p_c >= t_c
 *
 * a_c >= 0 and b_c are Platt's fit on the fit rows, label by label, whose smoothed targets shrink labels with few rows. The thresholds come from the calibration
 * rows, by one of four rules (`LabelRule`). No row serves both steps.
 *
 * Sources: Platt, 1999; Tong, Feng, Li, Science Advances 4 (2018) for false-positive rates; Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal risk control", ICLR 2024,
 * for missed labels.
 *
 * @example
 *   const head = MultiLabelHead.fit({ logits, targets, classes: ["rock", "live", "instrumental"] }, { rule: { maxMissed: 0.1 } });
 *   const decision = head.decide([2, -1, 0.3]);
 *   if (decision.kind === "labels") console.log(decision.labels, decision.probabilities);
 */
export class MultiLabelHead<L extends string = string> {
  /** C names, in the order of the scores. */
  readonly classes: readonly L[];
  readonly input: "logits" | "probabilities";
  readonly rule: LabelRule;
  /** Share of the rows that fitted the calibration; "given" where the calibration rows came by themselves. */
  readonly split: number | "given";
  readonly seed: number;
  readonly fitRows: number;
  readonly calibrationRows: number;
  readonly #parts: Parts;
  readonly #selfTest: SelfTestJSON;

  private constructor(parts: Parts, selfTest?: (numbers: Record<string, Tensor<"float32">>) => SelfTestJSON) {
    this.#parts = parts;
    this.classes = Object.freeze([...parts.classes]) as readonly L[];
    ({ input: this.input, rule: this.rule, split: this.split, seed: this.seed, fitRows: this.fitRows, calibrationRows: this.calibrationRows } = parts);
    const numbers = { probabilities: this.#probabilities(selfTestRows(this.input, this.classes.length)) };
    this.#selfTest = selfTest ? selfTest(numbers) : selfTestToJSON(numbers);
    Object.freeze(this);
  }

  /**
   * Fits calibration and thresholds on different rows.
   *
   * @param data - `logits` float32 [N, C] finite, `targets` uint8 [N, C], `classes`: C names; N at least 2; `calibration`: rows of their own for the thresholds
   * @param options - `rule` ({ maxMissed: 0.1 }), `input` ("logits"), `split` (0.5), `seed` (0)
   * @throws RangeError for another shape, names that are not C different ones, scores that are not finite (or no probabilities), a split that leaves no row for a step, a calibration row that is also a fit row; TypeError
   *   for a rule that is none; ConvergenceError if a fit reached no optimum
   */
  static fit<const L extends string>(data: MultiLabelData<L>, options: MultiLabelOptions = {}): MultiLabelHead<L> {
    return runSteps(MultiLabelHead.#steps("MultiLabelHead.fit", data, options));
  }

  /** `fit` with pauses at least every 16 ms: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync<const L extends string>(data: MultiLabelData<L>, options: MultiLabelOptions & LongWorkOptions = {}): Promise<MultiLabelHead<L>> {
    return runStepsAsync(MultiLabelHead.#steps("MultiLabelHead.fitAsync", data, options), options);
  }

  static *#steps<L extends string>(where: string, data: MultiLabelData<L>, options: MultiLabelOptions): Steps<MultiLabelHead<L>> {
    const { split = 0.5, seed = 0, input = "logits" } = options;
    const rule = checkRule(where, options.rule ?? { maxMissed: 0.1 });
    if (!INPUTS.includes(input)) throw rangeError(where, "input", '"logits" or "probabilities"', `${input}`);
    if (!(split > 0 && split < 1)) throw rangeError(where, "split", "in (0, 1)", `${split}`);
    const all = rowsOf(where, "", data, input), width = all.width;
    const wrong = namesProblem(data.classes, width);
    if (wrong !== undefined) throw rangeError(where, "classes", `${width} different names`, wrong);
    const given = data.calibration && rowsOf(where, "calibration.", data.calibration, input);
    if (given && options.split !== undefined) throw rangeError(where, "split", "nothing where `calibration` rows are given", `${split}`);
    if (given && given.width !== width) throw rangeError(where, "calibration.logits", `of ${width} labels on the last axis`, `${given.width}`);
    if (given && data.duplicates !== "allowed") {
      const scores = ({ rows, scores }: LabelledScores): Rows => ({ logits: new Tensor("float32", [rows, width], scores) });
      yield* checkApart(where, "calibration", scores(given), scores(all), "the others");
    }
    const fitRows = given ? all.rows : Math.floor(all.rows * split);
    const calibrationRows = given ? given.rows : all.rows - fitRows;
    if (fitRows < 1 || calibrationRows < 1) throw rangeError(where, "logits", "with a row for the calibration and one for the thresholds", `${fitRows} and ${calibrationRows}`);
    const order = given ? undefined : randomSource(seed, 0).permutation(all.rows);
    const fit = order ? taken(all, order.subarray(0, fitRows)) : all;
    const calibration = given ?? taken(all, order!.subarray(fitRows));
    yield 0.02;
    const shaped = <const D extends "float32" | "int32">(dtype: D, rows: number, data: Tensor<D>["data"]): Tensor<D> => new Tensor(dtype, [rows, width], data);
    const calibrator = yield* partOf(MultiLabelCalibration.fitSteps(where, shaped("float32", fitRows, fit.scores), { data: fit.targets, shape: [fitRows, width] }, { shrinkage: 0 }), 0.02, 0.88);
    const slopes = calibrator.slopes.data, intercepts = calibrator.intercepts.data;
    const calibrationHash = yield* partOf(rowsDigest(shaped("float32", calibrationRows, calibration.scores), shaped("int32", calibrationRows, Int32Array.from(calibration.targets))), 0.9, 0.02);
    const piece = pieceOf(16 * width), probabilities = new Float32Array(calibration.scores.length), positives = new Int32Array(width);
    for (let row = 0, at = 0; row < calibrationRows; row++) {
      for (let c = 0; c < width; c++, at++) {
        probabilities[at] = sigmoid(slopes[c] * calibration.scores[at] + intercepts[c]);
        positives[c] += calibration.targets[at];
      }
      if (row % piece === 0) yield 0.92;
    }
    const thresholds = yield* partOf(thresholdSteps(rule, { probabilities, targets: calibration.targets, classes: width }), 0.95, 0.05);
    return new MultiLabelHead<L>({ library: core.version, classes: data.classes, input, rule, split: given ? "given" : split, seed, fitRows, calibrationRows, calibrationHash, positives, slopes, intercepts, thresholds });
  }

  /** float32 [C]: label c is given where its calibrated probability is at least this; 2 = never. A copy. */
  get thresholds(): Float32Array {
    return this.#parts.thresholds.slice();
  }

  /** What is promised, with the rows it rests on: nothing for thresholds by cost or F-measure, one promise for missed labels, one for each label for false-positive rates. */
  get guarantees(): readonly Guarantee[] {
    return labelGuarantees(this.#parts);
  }

  /** What is not promised. */
  get notPromised(): readonly string[] {
    return notPromisedOfLabels(this.rule);
  }

  /**
   * Calibrated probabilities.
   *
   * @param logits - float32 [..., C] (or probabilities, as `input` says)
   * @returns float32, the same shape; NaN where the score is not finite (or no probability)
   * @throws RangeError for another width
   */
  probabilities(logits: TensorLike): Tensor<"float32"> {
    return this.#probabilities(this.#scores("MultiLabelHead.probabilities", logits));
  }

  /**
   * The labels of one row.
   *
   * @param logits - float32 [C]
   * @returns `labels`, or `invalid` where a score is not finite (or no probability)
   * @throws RangeError for another shape
   */
  decide(logits: TensorLike): MultiLabelDecision<L> {
    const where = "MultiLabelHead.decide", z = float32Of(where, "logits", logits);
    if (z.shape.length !== 1) throw rangeError(where, "logits", "of shape [C]", `[${z.shape.join(", ")}]`, "For a batch use decideAll");
    return this.#decisions(this.#scores(where, z))[0];
  }

  /**
   * The labels of each row of a batch, the same as one by one.
   *
   * @param logits - float32 [N, C]
   * @throws RangeError for another shape
   */
  decideAll(logits: TensorLike): MultiLabelDecision<L>[] {
    const where = "MultiLabelHead.decideAll", z = float32Of(where, "logits", logits);
    checkShape(where, "logits", z, ["N", "C"]);
    return this.#decisions(this.#scores(where, z));
  }

  toJSON(): MultiLabelHeadJSON {
    const { positives, slopes, intercepts, thresholds, ...own } = this.#parts, width = [own.classes.length];
    const floats = (data: Float32Array): TensorJSON => tensorToJSON(new Tensor("float32", width, data));
    return { format: FORMAT, version: 1, ...own, positives: tensorToJSON(new Tensor("int32", width, positives)), slopes: floats(slopes), intercepts: floats(intercepts), thresholds: floats(thresholds), selfTest: this.#selfTest };
  }

  /** The same as a safetensors file, with a digest. */
  toBytes(): Uint8Array {
    return toArtefact(this.toJSON());
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError, naming the field, for another format or version, a field that is missing or not what it must be, or a self-test that comes out differently. */
  static fromJSON(json: unknown): MultiLabelHead {
    return MultiLabelHead.#read("MultiLabelHead.fromJSON", json);
  }

  /** Reads what `toBytes` wrote. FormatError as `fromJSON`, and for damaged bytes. */
  static fromBytes(bytes: Uint8Array): MultiLabelHead {
    return MultiLabelHead.#read("MultiLabelHead.fromBytes", fromArtefact("MultiLabelHead.fromBytes", bytes));
  }

  static #read(where: string, json: unknown): MultiLabelHead {
    const fields = readJson(where, json, FORMAT, 1, "@logits/head");
    const classes = fields.strings("classes"), width = classes.length;
    const wrong = namesProblem(classes, width);
    if (wrong !== undefined || width === 0) fields.fail("classes", "different names", wrong ?? "none");
    const fitRows = fields.integer("fitRows", 1, Number.MAX_SAFE_INTEGER), calibrationRows = fields.integer("calibrationRows", 1, 2147483647);
    const calibrationHash = fields.string("calibrationHash");
    if (!/^[0-9a-f]{64}$/.test(calibrationHash)) fields.fail("calibrationHash", "64 hexadecimal digits", "something else");
    const vector = <const D extends "float32" | "int32">(name: string, dtype: D, good: (x: number) => boolean, expected: string) => {
      const { data } = fields.tensor(name, dtype, 1);
      if (data.length !== width) fields.fail(name, `of shape [${width}]`, `[${data.length}]`);
      const bad = data.findIndex((x: number) => !good(x));
      if (bad >= 0) fields.fail(name, expected, `${data[bad]} at index ${bad}`);
      return data.slice();
    };
    const split = fields.value("split") === "given" ? "given" : fields.number("split", 0, 1);
    if (split === 0 || split === 1) fields.fail("split", "in (0, 1)", `${split}`);
    const parts: Parts = {
      library: fields.string("library"), classes, input: fields.oneOf("input", INPUTS), rule: readRule(where, fields.value("rule")), split, seed: fields.integer("seed", 0, Number.MAX_SAFE_INTEGER), fitRows, calibrationRows, calibrationHash,
      positives: vector("positives", "int32", (x) => x >= 0 && x <= calibrationRows, `in [0, ${calibrationRows}]`) as Int32Array,
      slopes: vector("slopes", "float32", (x) => x >= 0, ">= 0") as Float32Array,
      intercepts: vector("intercepts", "float32", () => true, "finite") as Float32Array,
      thresholds: vector("thresholds", "float32", (x) => x >= 0 && x <= 2, "in [0, 2]") as Float32Array,
    };
    return new MultiLabelHead(parts, (numbers) => checkSelfTest(`${where}: in \`selfTest\``, fields.value("selfTest"), numbers));
  }

  #scores(where: string, logits: TensorLike): Tensor<"float32"> {
    const z = float32Of(where, "logits", logits);
    if (z.shape[z.shape.length - 1] !== this.classes.length) throw rangeError(where, "logits", `of ${this.classes.length} labels on the last axis`, `shape [${z.shape.join(", ")}]`);
    return z;
  }

  #probabilities(x: Tensor<"float32">): Tensor<"float32"> {
    const { slopes, intercepts, input } = this.#parts, width = slopes.length;
    return new Tensor("float32", x.shape, x.data.map((value, at) => {
      const z = input === "logits" ? value : Math.fround(scoreOf(value));
      return z - z === 0 ? sigmoid(slopes[at % width] * z + intercepts[at % width]) : NaN;
    }));
  }

  #decisions(x: Tensor<"float32">): MultiLabelDecision<L>[] {
    const width = this.classes.length, p = this.#probabilities(x).data, { thresholds } = this.#parts;
    return Array.from({ length: p.length / width }, (_, row): MultiLabelDecision<L> => {
      const own = p.subarray(row * width, (row + 1) * width);
      const bad = own.findIndex((value) => value !== value);
      if (bad >= 0) return { kind: "invalid", why: { code: "NO_DISTRIBUTION", text: `${x.data[row * width + bad]} in column ${bad}` } };
      const given = Array.from(own.keys()).filter((c) => own[c] >= thresholds[c]).sort((a, b) => own[b] - own[a] || a - b);
      return { kind: "labels", labels: given.map((c) => this.classes[c]), probabilities: given.map((c) => own[c]) };
    });
  }
}

interface LabelledScores {
  readonly scores: Float32Array;
  readonly targets: Uint8Array;
  readonly rows: number;
  readonly width: number;
}

function rowsOf(where: string, prefix: string, data: { readonly logits: TensorLike; readonly targets: TensorLike }, input: "logits" | "probabilities"): LabelledScores {
  const x = float32Of(where, `${prefix}logits`, data.logits);
  checkShape(where, `${prefix}logits`, x, ["N", "C"]);
  const targets = maskOf(where, `${prefix}targets`, data.targets), [rows, width] = x.shape;
  if (targets.shape.length !== 2 || targets.shape[0] !== rows || targets.shape[1] !== width) throw rangeError(where, `${prefix}targets`, `of shape [${rows}, ${width}]`, `[${targets.shape.join(", ")}]`);
  if (width === 0) throw rangeError(where, `${prefix}logits`, "with at least one label", `shape [${rows}, 0]`);
  const scores = input === "logits" ? x.data : x.data.map(scoreOf);
  const bad = scores.findIndex((z) => z - z !== 0);
  if (bad >= 0) throw rangeError(where, `${prefix}logits`, input === "logits" ? "of finite scores" : "of probabilities, as `input` says", `${x.data[bad]} in row ${Math.floor(bad / width)}, column ${bad % width}`);
  return { scores, targets: targets.data, rows, width };
}

/** The rows of `order`, copied, in ascending order. */
function taken({ scores, targets, width }: LabelledScores, order: Int32Array): LabelledScores {
  const rows = order.slice().sort(), z = new Float32Array(rows.length * width), y = new Uint8Array(rows.length * width);
  rows.forEach((from, to) => {
    z.set(scores.subarray(from * width, (from + 1) * width), to * width);
    y.set(targets.subarray(from * width, (from + 1) * width), to * width);
  });
  return { scores: z, targets: y, rows: rows.length, width };
}
