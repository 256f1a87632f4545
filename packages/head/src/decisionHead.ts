import { TemperatureScaling, calibratorFromJSON, type Calibrator } from "@logits/calibration";
import { SplitConformal, type ConformalMethod, type PredictionSets, type SplitConformalJSON } from "@logits/conformal";
import {
  FormatError, Tensor, asFloat32, asInt32, checkLabels, checkShape, randomSource, rangeError, readJson, runSteps, runStepsAsync,
  type LongWorkOptions, type Steps, type TensorLike,
} from "@logits/tensor";
import type { Decision, Guarantee } from "./decision.ts";

const FORMAT = "logits/head";

/** Labelled outputs of a model, on rows that did not train it. */
export interface DecisionHeadData<L extends string> {
  /** float32 [N, C]. */
  readonly logits: TensorLike;
  /** int32 [N], in [0, C). */
  readonly labels: TensorLike;
  /** C different class names, in the order of the logits. */
  readonly classes: readonly L[];
  /** Rows for the conformal scores, none of them among the rows above, which all fit the calibrator then. Without: `split` divides the rows above. */
  readonly calibration?: { readonly logits: TensorLike; readonly labels: TensorLike };
}

/** Options of `DecisionHead.fit`. */
export interface DecisionHeadOptions {
  /** Share of the rows that fit the calibrator, in (0, 1); the others give the conformal scores. Default 0.5. Not with `calibration` rows of their own. */
  readonly split?: number;
  /** Seed of the split (and of randomised sets), an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
  /** Promised miscoverage, in (0, 1). Default 0.1. */
  readonly alpha?: number;
  /** Default "lac". */
  readonly method?: ConformalMethod;
}

/** Options of `decide` and `decideAll`. */
export interface DecideOptions {
  /** Promised miscoverage of this call. Default: that of the head. */
  readonly alpha?: number;
  /** Randomised APS only: int32 [N], an id of each row that no other row has. `decide` needs one; default of `decideAll`: 0, 1, ... */
  readonly ids?: TensorLike;
}

/** What `DecisionHead` writes as JSON. */
export interface DecisionHeadJSON {
  readonly format: "logits/head";
  readonly version: 1;
  readonly classes: readonly string[];
  readonly alpha: number;
  readonly split: number | "given";
  readonly seed: number;
  readonly fitRows: number;
  readonly calibrationRows: number;
  readonly calibrator: ReturnType<Calibrator["toJSON"]>;
  readonly conformal: SplitConformalJSON;
}

interface Parts<L extends string> {
  readonly classes: readonly L[];
  readonly alpha: number;
  readonly split: number | "given";
  readonly seed: number;
  readonly calibrator: Calibrator;
  readonly conformal: SplitConformal;
}

/**
 * Turns logits into decisions: a calibrator, conformal scores and class names in one portable object.
 *
 * The labelled rows are split once by a seeded permutation: the calibrator sees the fit rows only, the conformal scores come from the calibration rows only. No row
 * serves twice, so the promise of `guarantees` holds for the whole. There is no detector yet, so `unknown` never occurs: rows of a kind that the model
 * has never seen get an ordinary answer.
 *
 * @example
 *   const head = DecisionHead.fit({ logits, labels, classes: ["cat", "dog", "bird"] }, { alpha: 0.1 });
 *   const decision = head.decide([4, 1, 0]);
 *   if (decision.kind === "label") console.log(decision.label, decision.probability);
 */
export class DecisionHead<L extends string = string> {
  /** Class names, in the order of the logits. */
  readonly classes: readonly L[];
  /** Promised miscoverage where a call does not ask for another. */
  readonly alpha: number;
  /** Share of the rows that fitted the calibrator; "given" where the calibration rows came by themselves. */
  readonly split: number | "given";
  readonly seed: number;
  readonly calibrator: Calibrator;
  readonly conformal: SplitConformal;

  private constructor(parts: Parts<L>) {
    this.classes = Object.freeze([...parts.classes]);
    this.alpha = parts.alpha;
    this.split = parts.split;
    this.seed = parts.seed;
    this.calibrator = parts.calibrator;
    this.conformal = parts.conformal;
    Object.freeze(this);
  }

  /**
   * Fits calibrator and conformal scores on different rows.
   *
   * @param data - `logits` float32 [N, C], `labels` int32 [N], `classes`: C names; N at least 2; `calibration`: rows of their own for the conformal scores
   * @param options - `split` (0.5), `seed` (0), `alpha` (0.1), `method` ("lac")
   * @throws RangeError for another shape, names that are not C different ones, a label outside [0, C), a row without a distribution, a split that leaves no row for a step
   */
  static fit<const L extends string>(data: DecisionHeadData<L>, options: DecisionHeadOptions = {}): DecisionHead<L> {
    return runSteps(DecisionHead.#steps("DecisionHead.fit", data, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync<const L extends string>(data: DecisionHeadData<L>, options: DecisionHeadOptions & LongWorkOptions = {}): Promise<DecisionHead<L>> {
    return runStepsAsync(DecisionHead.#steps("DecisionHead.fitAsync", data, options), options);
  }

  static *#steps<L extends string>(where: string, data: DecisionHeadData<L>, options: DecisionHeadOptions): Steps<DecisionHead<L>> {
    const { split = 0.5, seed = 0, alpha = 0.1, method = "lac" } = options;
    if (!(split > 0 && split < 1)) throw rangeError(where, "split", "in (0, 1)", `${split}`);
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    const all = yield* labelled(where, data, "");
    const width = all.logits.shape[1];
    // In calibration rows of their own an impossible label is a row that no set covers, as it should be.
    for (let row = 0; row < all.labels.size; row++) {
      const label = all.labels.data[row];
      if (all.logits.data[row * width + label] === -Infinity) throw rangeError(where, "labels", "possible under the logits", `label ${label} of row ${row}, whose score is -Infinity`, "No temperature makes it possible; raise the score (without the row the promise would be too good)");
    }
    const wrong = namesProblem(data.classes, width);
    if (wrong !== undefined) throw rangeError(where, "classes", `${width} different names`, wrong);
    const given = data.calibration && (yield* labelled(where, data.calibration, "calibration."));
    if (given && options.split !== undefined) throw rangeError(where, "split", "nothing where `calibration` rows are given", `${split}`);
    if (given && given.logits.shape[1] !== width) throw rangeError(where, "calibration.logits", `of ${width} classes on the last axis`, `shape [${given.logits.shape.join(", ")}]`);
    const rows = all.labels.size;
    const fitRows = given ? rows : Math.floor(rows * split);
    if (fitRows < 1 || (!given && fitRows >= rows)) throw rangeError(where, "split", "that leaves a row for the calibrator and one for the conformal scores", `${split} of ${rows} rows`);
    const order = given ? undefined : randomSource(seed, 0).permutation(rows);
    yield 0.05;
    const fit = order ? yield* taken(all, order.subarray(0, fitRows), 0.05) : all;
    const calibrator = yield* part(TemperatureScaling.fitSteps(where, fit.logits, fit.labels), 0.05, 0.5);
    const calibration = given ?? (yield* taken(all, order!.subarray(fitRows), 0.55));
    const conformal = yield* part(SplitConformal.fitSteps(where, yield* transformed(calibrator, calibration.logits, 0.55), calibration.labels, { method, seed }), 0.55, 0.45);
    return new DecisionHead<L>({ classes: data.classes, alpha, split: given ? "given" : split, seed, calibrator, conformal });
  }

  /** What is promised at `alpha` of the head, with the rows it rests on. A call with another `alpha` promises 1 minus that. */
  get guarantees(): readonly Guarantee[] {
    const { n } = this.conformal, percent = `${+(100 - 100 * this.alpha).toPrecision(12)} %`;
    const all = this.conformal.quantile(this.alpha) === Infinity;
    return [{
      statement: `The set of a new row holds its true class with probability at least ${percent}, over all rows together${all ? `; ${n} calibration rows are too few for that, so every set holds all classes` : ""}.`,
      kind: "marginal coverage",
      level: 1 - this.alpha,
      n,
      rows: this.split === "given"
        ? `the ${n} calibration rows that were given; the calibrator saw ${this.calibrator.n} others`
        : `the ${n} calibration rows (of ${n + this.calibrator.n}, split with seed ${this.seed}); the calibrator saw the other ${this.calibrator.n}`,
      assumes: ["new rows are exchangeable with the calibration rows (drawn from the same source)", "no labelled row trained the model or served another choice"],
    }];
  }

  /**
   * The decision for one row.
   *
   * @param logits - float32 [C]
   * @param options - `alpha`, `ids` (one id)
   * @returns `label`, `ambiguous` or `invalid` (NaN, +Infinity, no finite score)
   * @throws RangeError for another shape or alpha
   */
  decide(logits: TensorLike, options: DecideOptions = {}): Decision<L> {
    const z = asFloat32("DecisionHead.decide", "logits", logits);
    if (z.shape.length !== 1) throw rangeError("DecisionHead.decide", "logits", "of shape [C]", `[${z.shape.join(", ")}]`, "For a batch use decideAll");
    if (this.conformal.randomize && options.ids === undefined) throw rangeError("DecisionHead.decide", "ids", "the id of the row", "none", "Randomised sets draw by row id: pass one that no other row has");
    return this.#decideAll("DecisionHead.decide", new Tensor("float32", [1, z.size], z.data), options)[0];
  }

  /**
   * The decision for each row of a batch, the same as one by one.
   *
   * @param logits - float32 [N, C]
   * @param options - `alpha`, `ids` int32 [N]
   * @throws RangeError for another shape or alpha
   */
  decideAll(logits: TensorLike, options: DecideOptions = {}): Decision<L>[] {
    const z = asFloat32("DecisionHead.decideAll", "logits", logits);
    checkShape("DecisionHead.decideAll", "logits", z, ["N", "C"]);
    return this.#decideAll("DecisionHead.decideAll", z, options);
  }

  toJSON(): DecisionHeadJSON {
    const { classes, alpha, split, seed, calibrator, conformal } = this;
    return { format: FORMAT, version: 1, classes, alpha, split, seed, fitRows: calibrator.n, calibrationRows: conformal.n, calibrator: calibrator.toJSON(), conformal: conformal.toJSON() };
  }

  /**
   * Reads what `toJSON` wrote, bit by bit.
   *
   * @param json - a parsed JSON value
   * @throws FormatError, naming the field, for another format or version, a field that is missing or not what it must be, or parts that do not belong together
   */
  static fromJSON(json: unknown): DecisionHead {
    const where = "DecisionHead.fromJSON";
    const fields = readJson(where, json, FORMAT, 1, "@logits/head");
    const classes = fields.strings("classes");
    const calibrator = nested(where, "calibrator", () => calibratorFromJSON(fields.value("calibrator")));
    const conformal = nested(where, "conformal", () => SplitConformal.fromJSON(fields.value("conformal")));
    const wrong = namesProblem(classes, conformal.classes);
    if (wrong !== undefined) fields.fail("classes", `${conformal.classes} different names, as \`conformal\` has classes`, wrong);
    if (calibrator.classes !== conformal.classes) fields.fail("calibrator", `of ${conformal.classes} classes, as \`conformal\` has`, `${calibrator.classes}`);
    const fitRows = fields.integer("fitRows", 1, Number.MAX_SAFE_INTEGER), calibrationRows = fields.integer("calibrationRows", 1, Number.MAX_SAFE_INTEGER);
    if (fitRows !== calibrator.n) fields.fail("fitRows", `${calibrator.n}, the rows of \`calibrator\``, `${fitRows}`);
    if (calibrationRows !== conformal.n) fields.fail("calibrationRows", `${conformal.n}, the rows of \`conformal\``, `${calibrationRows}`);
    const open = (field: "alpha" | "split"): number => {
      const value = fields.number(field, 0, 1);
      return value > 0 && value < 1 ? value : fields.fail(field, "in (0, 1)", `${value}`);
    };
    return new DecisionHead({ classes, alpha: open("alpha"), split: fields.value("split") === "given" ? "given" : open("split"), seed: fields.integer("seed", 0, Number.MAX_SAFE_INTEGER), calibrator, conformal });
  }

  #decideAll(where: string, z: Tensor<"float32">, options: DecideOptions): Decision<L>[] {
    const { alpha = this.alpha, ids } = options;
    if (!(alpha > 0 && alpha < 1)) throw rangeError(where, "alpha", "in (0, 1)", `${alpha}`);
    const [rows, width] = z.shape;
    if (width !== this.classes.length) throw rangeError(where, "logits", `of ${this.classes.length} classes on the last axis`, `shape [${z.shape.join(", ")}]`);
    const invalid = new Map<number, string>();
    for (let from = 0; ; from++) {
      const bad = invalidRow(z.data, width, from, rows);
      if (bad === undefined) break;
      invalid.set(bad.row, bad.text);
      from = bad.row;
    }
    let usable = z;
    if (invalid.size > 0) {
      // Rows without a distribution are decided already; anything finite stands in for them.
      usable = new Tensor("float32", z.shape, z.data.slice());
      for (const row of invalid.keys()) usable.data.fill(0, row * width, (row + 1) * width);
    }
    const sets = this.conformal.predictionSet(this.calibrator.transform(usable), { alpha, ids });
    return Array.from({ length: rows }, (_, row): Decision<L> => {
      const text = invalid.get(row);
      return text === undefined ? this.#decision(sets, row) : { kind: "invalid", why: { code: "NO_DISTRIBUTION", text } };
    });
  }

  #decision(sets: PredictionSets, row: number): Decision<L> {
    const width = this.classes.length;
    const p = sets.probabilities.data.subarray(row * width, (row + 1) * width);
    const set = sets.labels(row).sort((a, b) => p[b] - p[a] || a - b);
    const names = set.map((c) => this.classes[c]);
    return set.length === 1 ? { kind: "label", label: names[0], probability: p[set[0]], set: names } : { kind: "ambiguous", set: names, probabilities: set.map((c) => p[c]) };
  }
}

/** What is wrong with the class names; undefined if nothing. */
function namesProblem(names: readonly string[], width: number): string | undefined {
  if (!Array.isArray(names) || names.some((name) => typeof name !== "string")) return "no list of strings";
  if (names.length !== width) return `${names.length}`;
  const twice = names.find((name, i) => names.indexOf(name) < i);
  return twice === undefined ? undefined : `${JSON.stringify(twice)} twice`;
}

/** The first row from `from` on that is no distribution. */
function invalidRow(data: Float32Array, width: number, from: number, rows: number): { readonly row: number; readonly text: string } | undefined {
  for (let row = from; row < rows; row++) {
    let finite = false;
    for (let c = 0; c < width; c++) {
      const score = data[row * width + c];
      if (score !== score || score === Infinity) return { row, text: `${score} in column ${c}` };
      if (score !== -Infinity) finite = true;
    }
    if (!finite) return { row, text: "no finite score" };
  }
  return undefined;
}

/** Labelled rows that were checked. */
interface Labelled {
  readonly logits: Tensor<"float32">;
  readonly labels: Tensor<"int32">;
}

function* labelled(where: string, data: { readonly logits: TensorLike; readonly labels: TensorLike }, prefix: string): Steps<Labelled> {
  const logits = asFloat32(where, `${prefix}logits`, data.logits);
  checkShape(where, `${prefix}logits`, logits, ["N", "C"]);
  const [rows, width] = logits.shape;
  const labels = asInt32(where, `${prefix}labels`, data.labels);
  if (labels.shape.length !== 1 || labels.size !== rows) throw rangeError(where, `${prefix}labels`, `of shape [${rows}]`, `[${labels.shape.join(", ")}]`);
  checkLabels(where, `${prefix}labels`, labels, width);
  const piece = pieceOf(width);
  for (let from = 0; from < rows; from += piece) {
    const bad = invalidRow(logits.data, width, from, Math.min(rows, from + piece));
    if (bad !== undefined) throw rangeError(where, `${prefix}logits`, "with rows that are distributions", `row ${bad.row} with ${bad.text}`);
    yield 0;
  }
  return { logits, labels };
}

/** Rows between two pauses. */
function pieceOf(width: number): number {
  return Math.max(1, Math.floor(2 ** 20 / Math.max(1, width)));
}

/** The rows of `order`, copied. */
function* taken({ logits, labels }: Labelled, order: Int32Array, share: number): Steps<Labelled> {
  const width = logits.shape[1], piece = pieceOf(width);
  const rows = order.slice().sort();
  const scores = new Float32Array(rows.length * width);
  for (let to = 0; to < rows.length; to++) {
    scores.set(logits.data.subarray(rows[to] * width, (rows[to] + 1) * width), to * width);
    if (to % piece === 0) yield share;
  }
  return { logits: new Tensor("float32", [rows.length, width], scores), labels: new Tensor("int32", [rows.length], rows.map((row) => labels.data[row])) };
}

/** `calibrator.transform` in pieces. */
function* transformed(calibrator: Calibrator, logits: Tensor<"float32">, share: number): Steps<Tensor<"float32">> {
  const [rows, width] = logits.shape, piece = pieceOf(width);
  const out = new Float32Array(rows * width);
  for (let from = 0; from < rows; from += piece) {
    const to = Math.min(rows, from + piece);
    out.set(calibrator.transform(new Tensor("float32", [to - from, width], logits.data.subarray(from * width, to * width))).data, from * width);
    yield share;
  }
  return new Tensor("float32", logits.shape, out);
}

/** Steps whose share runs from `start` over `length`. */
function* part<Result>(steps: Steps<Result>, start: number, length: number): Steps<Result> {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
    yield start + length * Math.min(1, next.value);
  }
}

/** A part of the artefact: its errors say where it stands. */
function nested<Result>(where: string, field: string, read: () => Result): Result {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new FormatError(`${where}: in \`${field}\`: ${cause.message}`, { cause });
  }
}
