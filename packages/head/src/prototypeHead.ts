import { choleskySteps, matmul, solveTriangularSteps } from "@logits/core-wasm";
import { log } from "@logits/statistics";
import {
  FormatError, Tensor, checkCsr, checkInteger, checkLabels, checkPositive, checkShape, isCsr, rangeError, readJson, partOf, runSteps, runStepsAsync, tensorToJSON,
  type CsrMatrix, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike,
} from "@logits/tensor";
import { float32Of, int32Of } from "./arguments.ts";
import { denseBlocks, gather, inverseNorm, merge, type PrototypeKind, type PrototypeStatistics } from "./prototypeStatistics.ts";
import type { Scorer } from "./scorer.ts";

const FORMAT = "logits/prototype-head";
const LOG_2_PI = 1.8378770664093453;

/** Options of `PrototypeHead.fit`. */
export interface PrototypeHeadOptions {
  /** `"mean"`: squared distance to the class mean. `"tied"` and `"diagonal"`: Gaussian log-densities. `"cosine"`: cosine to the class's mean direction. */
  readonly kind: PrototypeKind;
  /** C; default the largest label plus 1. */
  readonly classes?: number;
  /** Of the Gaussian kinds: class frequencies (the default), or the same for each class. */
  readonly prior?: "empirical" | "uniform";
  /** Of "tied", in [0, 1]: the covariance becomes (1 - shrinkage) S + shrinkage (trace S / F) I. Default 1e-3. */
  readonly shrinkage?: number;
  /** Of "diagonal", a finite number >= 0: this share of the largest variance of a feature over all rows is added to each variance. Default 1e-9. */
  readonly smoothing?: number;
  /** Of "cosine", a finite number > 0. Default 10. */
  readonly scale?: number;
}

/** What `PrototypeHead` writes as JSON. */
export interface PrototypeHeadJSON {
  readonly format: "logits/prototype-head";
  readonly version: 1;
  readonly kind: PrototypeKind;
  readonly prior: "empirical" | "uniform";
  readonly shrinkage: number;
  readonly smoothing: number;
  readonly scale: number;
  /** int32 [C]. */
  readonly counts: TensorJSON;
  /** int32 [C, F, 2]: the bits of float64, lower half first. */
  readonly means: TensorJSON;
  /** int32 [., F, 2]: "diagonal" [C, F, 2], "tied" [F, F, 2], else [0, F, 2]. */
  readonly scatter: TensorJSON;
}

type Settings = Required<Omit<PrototypeHeadOptions, "classes">>;

/** What scores rows: z = x' A + bias + common(x), or a density per feature. */
interface Compiled {
  /** Subtracted from rows, [F]; empty for none. */
  readonly centre: Float64Array;
  /** "tied": inverse of the Cholesky factor, transposed, float32 [F, F]. */
  readonly whitening?: Tensor<"float32">;
  /** [F, C]. */
  readonly prototypes: Tensor<"float32">;
  /** [C]; -Infinity without rows. */
  readonly bias: Float64Array;
  /** "diagonal": 1 / variance, [C, F]. */
  readonly precision: Float64Array;
}

/**
 * A classifier by class statistics: no iteration, a new class or new rows cost one pass over them.
 *
 *   mean      z_c = -|x - mu_c|^2 / 2
 *   tied      z_c = log prior_c + log N(x; mu_c, S),            S = (1 / N) sum_n (x_n - mu_{y_n}) (x_n - mu_{y_n})', shrunk
 *   diagonal  z_c = log prior_c + sum_f log N(x_f; mu_cf, v_cf)                             Gaussian naive Bayes
 *   cosine    z_c = scale cos(x, mu_c),                         mu_c the mean of the rows' directions x_n / |x_n|
 *
 * For the Gaussian kinds logSumExp(z) is the log-density of the row, which says how unlike the fit it is. "tied" is linear in x up to a term that all classes share.
 *
 * Source: Snell, Swersky, Zemel, "Prototypical networks", NIPS 2017 (mean); Hastie, Tibshirani, Friedman, The Elements of Statistical Learning (2009), 4.3 and 6.6.3 (tied, diagonal);
 * Gidaris and Komodakis, "Dynamic few-shot visual learning without forgetting", CVPR 2018 (cosine).
 */
export class PrototypeHead implements Scorer {
  readonly kind: PrototypeKind;
  /** C. */
  readonly classes: number;
  /** F. */
  readonly features: number;
  /** Rows of each class. */
  readonly counts: readonly number[];
  /** How it was asked for; an option of another kind has its default. */
  readonly settings: Readonly<Settings>;
  readonly #statistics: PrototypeStatistics;
  readonly #compiled: Compiled;

  private constructor(settings: Settings, statistics: PrototypeStatistics, compiled: Compiled) {
    this.kind = settings.kind;
    this.classes = statistics.counts.length;
    this.features = statistics.features;
    this.counts = Object.freeze(Array.from(statistics.counts));
    this.settings = Object.freeze({ ...settings });
    this.#statistics = statistics;
    this.#compiled = compiled;
    Object.freeze(this);
  }

  /**
   * Fits the class statistics on labelled rows.
   *
   * @param features - float32 [N, F] or CSR (made dense a few rows at a time), N at least 1, finite
   * @param labels - int32 [N], in [0, C)
   * @param options - `kind`, `classes`, and what belongs to the kind
   * @returns the fitted head. A class without a row has score -Infinity until it gets one. One row of a class is enough. A feature that does not vary gets the variance that
   *   `shrinkage` or `smoothing` adds.
   * @throws RangeError for no rows, another shape, NaN or an infinity (the row is named), a row of zeros for "cosine", a label outside [0, C), an option out of range or of another
   *   kind, features without any variance for the Gaussian kinds, a covariance that is not invertible without more `shrinkage`
   * @example
   *   PrototypeHead.fit([[0, 0], [2, 0], [0, 4]], [0, 0, 1], { kind: "mean" }).logits([[1, 1]]); // [[-0.5, -5]]
   */
  static fit(features: TensorLike | CsrMatrix, labels: TensorLike, options: PrototypeHeadOptions): PrototypeHead {
    return runSteps(PrototypeHead.fitSteps("PrototypeHead.fit", features, labels, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike | CsrMatrix, labels: TensorLike, options: PrototypeHeadOptions & LongWorkOptions): Promise<PrototypeHead> {
    return runStepsAsync(PrototypeHead.fitSteps("PrototypeHead.fitAsync", features, labels, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike | CsrMatrix, labels: TensorLike, options: PrototypeHeadOptions): Steps<PrototypeHead> {
    const settings = settingsOf(where, options);
    const x = rowsOf(where, "features", isCsr(features) ? features : float32Of(where, "features", features));
    const y = int32Of(where, "labels", labels);
    if (x.shape[0] === 0 || x.shape[1] === 0) throw rangeError(where, "features", "with at least one row and one column", `shape [${x.shape.join(", ")}]`);
    checkCount(where, y, x.shape[0]);
    const { classes = Math.max(0, y.data.reduce((top, label) => Math.max(top, label), -1)) + 1 } = options;
    checkInteger(where, "classes", classes, 1, 16777216);
    checkLabels(where, "labels", y, classes);
    const statistics = yield* partOf(gather(where, "features", settings.kind, x, y.data, classes), 0, 0.8);
    return new PrototypeHead(settings, statistics, yield* partOf(compile(where, settings, statistics), 0.8, 0.2));
  }

  /**
   * The head with one class more, C of them before: its number is C.
   *
   * @param rows - float32 [N, F], [F] or CSR, at least one row
   * @returns a new head, equal to the one fitted on all rows at once (see `update`)
   * @throws RangeError for another width, no rows, NaN or an infinity (the row is named)
   */
  addClass(rows: TensorLike | CsrMatrix): PrototypeHead {
    const where = "PrototypeHead.addClass";
    const { x } = this.#rows(where, "rows", rows);
    if (x.shape[0] === 0) throw rangeError(where, "rows", "with at least one row", `shape [0, ${x.shape[1]}]`);
    return runSteps(this.#with(where, x, new Int32Array(x.shape[0]).fill(this.classes), this.classes + 1));
  }

  /**
   * The head after more labelled rows.
   *
   * @param rows - float32 [N, F], one row [F] or CSR; N may be 0
   * @param labels - int32 [N], in [0, C)
   * @returns a new head, equal to the one fitted on all rows at once: the statistics to 1e-12 relative ("tied": the covariance to 1e-6 of the standard deviations' product), logits
   *   to their own rounding
   * @throws RangeError for another width, NaN or an infinity (the row is named), a label outside [0, C)
   */
  update(rows: TensorLike | CsrMatrix, labels: TensorLike): PrototypeHead {
    const where = "PrototypeHead.update";
    const { x } = this.#rows(where, "rows", rows);
    const y = int32Of(where, "labels", labels);
    checkCount(where, y, x.shape[0]);
    checkLabels(where, "labels", y, this.classes);
    return runSteps(this.#with(where, x, y.data, this.classes));
  }

  *#with(where: string, x: Tensor<"float32"> | CsrMatrix, labels: Int32Array, classes: number): Steps<PrototypeHead> {
    const statistics = merge(this.kind, this.#statistics, yield* gather(where, "rows", this.kind, x, labels, classes));
    return new PrototypeHead(this.settings, statistics, yield* compile(where, this.settings, statistics));
  }

  /**
   * Scores, see the class.
   *
   * @param features - float32 [N, F], one row [F], or CSR
   * @returns float32 [N, C] or [C]. A row with NaN, and a row of zeros for "cosine" (it has no direction): NaN. "mean", "tied" and "cosine" are float32 products, within
   *   about 1e-6 (|x - m|^2 + |mu_c - m|^2) of float64, m the mean of all rows and lengths in units of S for "tied"; "diagonal" is float64, rounded once.
   *   A row's result does not depend on the rows beside it.
   * @throws RangeError for another width
   */
  logits(features: TensorLike | CsrMatrix): Tensor<"float32"> {
    const where = "PrototypeHead.logits";
    const { x, one } = this.#rows(where, "features", features);
    const rows = x.shape[0], { classes } = this;
    const out = new Float32Array(rows * classes);
    for (const { from, to, data } of denseBlocks(x)) out.set(this.kind === "diagonal" ? this.#densities(data, to - from) : this.#products(data, to - from), from * classes);
    return new Tensor("float32", one ? [classes] : [rows, classes], out);
  }

  #products(data: Float32Array, rows: number): Float32Array {
    const { features, classes } = this;
    const { centre, whitening, prototypes, bias } = this.#compiled;
    let x = new Float32Array(rows * features);
    for (let n = 0; n < rows; n++) {
      const at = n * features;
      const scale = this.kind === "cosine" ? inverseNorm(data, at, features) : 1;
      for (let f = 0; f < features; f++) x[at + f] = this.kind === "cosine" ? data[at + f] * scale : data[at + f] - centre[f];
    }
    if (whitening) x = matmul(new Tensor("float32", [rows, features], x), whitening).data as Float32Array<ArrayBuffer>;
    const z = matmul(new Tensor("float32", [rows, features], x), prototypes).data;
    for (let n = 0; n < rows; n++) {
      let common = 0;
      if (this.kind !== "cosine") for (let i = n * features; i < (n + 1) * features; i++) common -= 0.5 * x[i] * x[i];
      for (let c = 0, i = n * classes; c < classes; c++, i++) z[i] = z[i] + common + bias[c];
    }
    return z;
  }

  #densities(data: Float32Array, rows: number): Float32Array {
    const { features, classes } = this;
    const { means } = this.#statistics;
    const { bias, precision } = this.#compiled;
    const out = new Float32Array(rows * classes);
    for (let n = 0; n < rows; n++) {
      for (let c = 0; c < classes; c++) {
        let sum = 0;
        for (let f = 0, i = c * features, at = n * features; f < features; f++, i++, at++) {
          const d = data[at] - means[i];
          sum += d * d * precision[i];
        }
        out[n * classes + c] = bias[c] - 0.5 * sum;
      }
    }
    return out;
  }

  /** The rows, one of shape [F] as [1, F]. */
  #rows(where: string, argument: string, rows: TensorLike | CsrMatrix): { x: Tensor<"float32"> | CsrMatrix; one: boolean } {
    const given = isCsr(rows) ? rows : float32Of(where, argument, rows);
    const one = !isCsr(given) && given.shape.length === 1;
    const x = rowsOf(where, argument, one ? new Tensor("float32", [1, given.size], given.data) : given);
    if (x.shape[1] !== this.features) throw rangeError(where, argument, `of ${this.features} columns`, `shape [${x.shape.join(", ")}]`);
    return { x, one };
  }

  toJSON(): PrototypeHeadJSON {
    const { features, counts, means, scatter } = this.#statistics;
    const { kind, prior, shrinkage, smoothing, scale } = this.settings;
    return {
      format: FORMAT, version: 1, kind, prior, shrinkage, smoothing, scale,
      counts: tensorToJSON(new Tensor("int32", [counts.length], Int32Array.from(counts))),
      means: bitsToJSON(means, features),
      scatter: bitsToJSON(scatter, features),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): PrototypeHead {
    const where = "PrototypeHead.fromJSON";
    const fields = readJson(where, json, FORMAT, 1, "@logits/head");
    const settings: Settings = {
      kind: fields.oneOf("kind", ["mean", "tied", "diagonal", "cosine"]),
      prior: fields.oneOf("prior", ["empirical", "uniform"]),
      shrinkage: fields.number("shrinkage", 0, 1),
      smoothing: fields.number("smoothing", 0),
      scale: fields.number("scale", Number.MIN_VALUE),
    };
    const counts = Float64Array.from(fields.tensor("counts", "int32", 1).data);
    if (!(counts.length > 0 && counts.every((count) => count >= 0) && counts.some((count) => count > 0))) fields.fail("counts", "numbers >= 0, one of them above", "others");
    const bits = (field: string): { rows: number; features: number; numbers: Float64Array } => {
      const { shape, data } = fields.tensor(field, "int32", 3);
      if (shape[2] !== 2) fields.fail(field, "pairs of int32", `shape [${shape.join(", ")}]`);
      const numbers = new Float64Array(data.length / 2);
      const view = new DataView(numbers.buffer);
      for (let i = 0; i < data.length; i++) view.setInt32(4 * i, data[i], true);
      const bad = numbers.findIndex((value) => value - value !== 0);
      if (bad >= 0) fields.fail(field, "finite numbers", `${numbers[bad]} at index ${bad}`);
      return { rows: shape[0], features: shape[1], numbers };
    };
    const means = bits("means"), scatter = bits("scatter");
    const { features } = means;
    if (means.rows !== counts.length || features === 0) fields.fail("means", `${counts.length} rows of at least one number`, `${means.rows} of ${features}`);
    const wanted = settings.kind === "diagonal" ? counts.length : settings.kind === "tied" ? features : 0;
    if (scatter.rows !== wanted || scatter.features !== features) fields.fail("scatter", `${wanted} rows of ${features} numbers`, `${scatter.rows} of ${scatter.features}`);
    const statistics: PrototypeStatistics = { features, counts, means: means.numbers, scatter: scatter.numbers };
    try {
      return new PrototypeHead(settings, statistics, runSteps(compile(where, settings, statistics)));
    } catch (cause) {
      // Statistics that no fit lets pass.
      if (cause instanceof RangeError) throw new FormatError(cause.message, { cause });
      throw cause;
    }
  }
}

function settingsOf(where: string, options: PrototypeHeadOptions): Settings {
  const { kind, prior = "empirical", shrinkage = 1e-3, smoothing = 1e-9, scale = 10 } = options;
  if (!["mean", "tied", "diagonal", "cosine"].includes(kind)) throw rangeError(where, "kind", '"mean", "tied", "diagonal" or "cosine"', `${kind}`);
  const owners = { prior: ["tied", "diagonal"], shrinkage: ["tied"], smoothing: ["diagonal"], scale: ["cosine"] } as const;
  for (const name of ["prior", "shrinkage", "smoothing", "scale"] as const) {
    if (options[name] !== undefined && !(owners[name] as readonly string[]).includes(kind)) throw rangeError(where, name, `only with kind ${owners[name].map((k) => `"${k}"`).join(" or ")}`, `it with "${kind}"`);
  }
  if (prior !== "empirical" && prior !== "uniform") throw rangeError(where, "prior", '"empirical" or "uniform"', `${prior as string}`);
  if (!(shrinkage >= 0 && shrinkage <= 1)) throw rangeError(where, "shrinkage", "in [0, 1]", `${shrinkage}`);
  if (!(smoothing >= 0 && smoothing < Infinity)) throw rangeError(where, "smoothing", "a finite number >= 0", `${smoothing}`);
  checkPositive(where, "scale", scale);
  return { kind, prior, shrinkage, smoothing, scale };
}

function rowsOf(where: string, argument: string, x: Tensor<"float32"> | CsrMatrix): Tensor<"float32"> | CsrMatrix {
  if (isCsr(x)) return checkCsr(where, argument, x);
  checkShape(where, argument, x, ["N", "F"]);
  return x;
}

function checkCount(where: string, y: Tensor<"int32">, rows: number): void {
  if (y.shape.length !== 1 || y.size !== rows) throw rangeError(where, "labels", `of shape [${rows}]`, `[${y.shape.join(", ")}]`);
}

/** What scores rows, from the statistics alone. */
function* compile(where: string, settings: Settings, { features, counts, means, scatter }: PrototypeStatistics): Steps<Compiled> {
  const { kind } = settings;
  const classes = counts.length;
  let n = 0;
  for (const count of counts) n += count;
  const bias = new Float64Array(classes);
  for (let c = 0; c < classes; c++) {
    const prior = kind === "mean" || kind === "cosine" ? 0 : settings.prior === "uniform" ? -log(classes) : log(counts[c] / n);
    bias[c] = counts[c] === 0 ? -Infinity : prior;
  }
  const empty = new Float64Array(0);
  const none = new Tensor("float32", [features, 0], new Float32Array(0));
  if (kind === "diagonal") return { centre: empty, prototypes: none, ...(yield* naiveBayes(where, settings, { features, counts, means, scatter }, n, bias)) };

  const prototypes = new Float64Array(classes * features);
  const centre = new Float64Array(features);
  if (kind === "cosine") {
    for (let c = 0; c < classes; c++) {
      let square = 0;
      for (let f = 0; f < features; f++) square += means[c * features + f] ** 2;
      // Directions that cancel exactly leave no direction: cosine 0.
      const scale = square > 0 ? settings.scale / Math.sqrt(square) : 0;
      for (let f = 0; f < features; f++) prototypes[c * features + f] = scale * means[c * features + f];
    }
    return { centre: empty, prototypes: transposed(prototypes, classes, features), bias, precision: empty };
  }
  for (let c = 0; c < classes; c++) for (let f = 0; f < features; f++) centre[f] += (counts[c] / n) * means[c * features + f];
  for (let c = 0; c < classes; c++) if (counts[c] > 0) for (let f = 0; f < features; f++) prototypes[c * features + f] = means[c * features + f] - centre[f];
  let whitening: Tensor<"float32"> | undefined;
  if (kind === "tied") {
    let trace = 0;
    for (let f = 0; f < features; f++) trace += scatter[f * features + f] / n;
    if (!(trace > 0)) throw rangeError(where, "features", "that vary within a class", `${n} rows that equal their class means`);
    const covariance = new Float64Array(features * features);
    for (let i = 0; i < features; i++) {
      for (let j = 0; j <= i; j++) covariance[i * features + j] = ((1 - settings.shrinkage) * scatter[i * features + j]) / n;
      covariance[i * features + i] += (settings.shrinkage * trace) / features;
    }
    const failed = yield* partOf(choleskySteps(covariance, { leastPivot: (1e-10 * trace) / features }), 0, 0.5);
    if (failed >= 0) throw rangeError(where, "shrinkage", "that makes the covariance invertible", `${settings.shrinkage}: feature ${failed} is a combination of the features before it`, "Raise it");
    let halfLogDeterminant = 0;
    for (let f = 0; f < features; f++) halfLogDeterminant += log(covariance[f * features + f]);
    for (let c = 0; c < classes; c++) bias[c] -= halfLogDeterminant + 0.5 * features * LOG_2_PI;
    const inverse = new Float64Array(features * features);
    for (let f = 0; f < features; f++) inverse[f * features + f] = 1;
    yield* partOf(solveTriangularSteps(covariance, inverse), 0.5, 0.4);
    yield* partOf(solveTriangularSteps(covariance, prototypes), 0.9, 0.1);
    whitening = new Tensor("float32", [features, features], Float32Array.from(inverse));
  }
  for (let c = 0; c < classes; c++) {
    let square = 0;
    for (let f = 0; f < features; f++) square += prototypes[c * features + f] ** 2;
    bias[c] -= 0.5 * square;
  }
  return { centre, whitening, prototypes: transposed(prototypes, classes, features), bias, precision: empty };
}

function* naiveBayes(where: string, { smoothing }: Settings, { features, counts, means, scatter }: PrototypeStatistics, n: number, bias: Float64Array): Steps<{ bias: Float64Array; precision: Float64Array }> {
  const classes = counts.length;
  // The largest variance over all rows: within the classes and between them.
  let most = 0;
  for (let f = 0; f < features; f++) {
    let mean = 0, sum = 0;
    for (let c = 0; c < classes; c++) mean += (counts[c] / n) * means[c * features + f];
    for (let c = 0; c < classes; c++) sum += scatter[c * features + f] + counts[c] * (means[c * features + f] - mean) ** 2;
    most = Math.max(most, sum / n);
  }
  const precision = new Float64Array(classes * features);
  for (let c = 0; c < classes; c++) {
    if (counts[c] === 0) continue;
    let sum = 0;
    for (let f = 0, i = c * features; f < features; f++, i++) {
      const variance = scatter[i] / counts[c] + smoothing * most;
      if (!(variance > 0)) throw rangeError(where, "smoothing", "that leaves no variance 0", `${smoothing}: feature ${f} does not vary in class ${c}`, most > 0 ? "Raise it" : "No feature varies");
      sum += log(variance) + LOG_2_PI;
      precision[i] = 1 / variance;
    }
    bias[c] -= 0.5 * sum;
    yield c / classes;
  }
  return { bias, precision };
}

/** [C, F] in float64 to [F, C] in float32. */
function transposed(x: Float64Array, classes: number, features: number): Tensor<"float32"> {
  const out = new Float32Array(x.length);
  for (let c = 0; c < classes; c++) for (let f = 0; f < features; f++) out[f * classes + c] = x[c * features + f];
  return new Tensor("float32", [features, classes], out);
}

function bitsToJSON(x: Float64Array, features: number): TensorJSON {
  const view = new DataView(x.buffer, x.byteOffset, x.byteLength);
  const bits = Int32Array.from({ length: 2 * x.length }, (_, i) => view.getInt32(4 * i, true));
  return tensorToJSON(new Tensor("int32", [x.length / features, features, 2], bits));
}

