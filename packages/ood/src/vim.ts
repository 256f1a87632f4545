import { logitStatistics } from "@logits/core-wasm";
import { Tensor, asFloat32, checkShape, partOf, rangeError, readJson, runSteps, runStepsAsync, type LongWorkOptions, type Steps, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { settle } from "./featureRows.ts";
import type { FeatureStatistics } from "./featureStatistics.ts";
import type { Fingerprints } from "./fingerprints.ts";
import { checkStatistics, statisticsSteps } from "./fitStatistics.ts";
import { checkSameRows, fitLogits, pairsOf } from "./logitRows.ts";
import { PrincipalSubspace, type SubspaceJSON } from "./principalSubspace.ts";
import type { ResidualOptions } from "./residual.ts";
import { checkDimension, originOf } from "./subspaceOptions.ts";

const FORMAT = "logits/vim-detector";

/** A mean residual below this share of the mean length is the rounding of float32. */
const ROUNDING = 1e-5;

/** Options of `VimDetector`. */
export interface VimOptions extends ResidualOptions {
  /** alpha >= 0. Default: from the rows, see the class. */
  readonly alpha?: number;
}

/** Rows with both sides of the head. */
export interface VimRows {
  /** float32 [N, F], finite. */
  readonly features: TensorLike;
  /** float32 [N, C], finite. */
  readonly logits: TensorLike;
}

/** What `VimDetector` writes as JSON. */
export interface VimDetectorJSON extends SubspaceJSON {
  readonly format: "logits/vim-detector";
  readonly version: 1;
  /** C. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  readonly alpha: number;
}

/**
 * The residual of the features as one more logit: out-of-distribution in the features, in the logits, or a little in both. Higher = more out-of-distribution.
 *
 *   score(f, z) = alpha |g - P P' g| - logSumExp(z),    alpha = mean_n max_c z_nc / mean_n |g_n - P P' g_n|
 *
 * g and P as in `ResidualDetector`. The softmax probability of the virtual logit alpha |g - P P' g| grows with this score and orders rows in the same way.
 *
 * Source: Wang, Li, Feng, Zhang, "ViM: Out-Of-Distribution with Virtual-logit Matching", CVPR 2022, equations 5 to 8 and the score of their code (whose sign is the opposite).
 */
export class VimDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "vim";
  readonly needs: readonly DetectorNeeds[] = ["features", "logits"];
  /** C. */
  readonly classes: number;
  /** Rows of the fit. */
  readonly n: number;
  /** What the residual is multiplied by. */
  readonly alpha: number;
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #subspace: PrincipalSubspace;

  private constructor(subspace: PrincipalSubspace, classes: number, n: number, alpha: number, fingerprints: Fingerprints | undefined) {
    this.#subspace = subspace;
    this.classes = classes;
    this.n = n;
    this.alpha = alpha;
    this.fingerprints = fingerprints;
    Object.freeze(this);
  }

  /** F. */
  get features(): number {
    return this.#subspace.features;
  }

  /** D. */
  get dimension(): number {
    return this.#subspace.dimension;
  }

  /**
   * The principal subspace of rows and the size of their residuals.
   *
   * @param features - float32 [N, F], finite, N >= 1
   * @param logits - float32 [N, C], finite: of the same rows
   * @param options - `dimension`, `head` (the last layer: `weights` float32 [F, C], `bias` float32 [C]) or `origin` float32 [F]; `alpha`
   * @throws RangeError for other shapes, a row with NaN or an infinity (named), a `dimension` outside [0, F), rows that have no residual or whose largest logits are not positive on average (then `alpha` has to be given)
   * @example
   *   VimDetector.fit([[-2, 1], [2, 1], [0, -2]], [[4, 0], [0, 4], [4, 0]], { dimension: 1 }).alpha; // 3
   */
  static fit(features: TensorLike, logits: TensorLike, options: VimOptions = {}): VimDetector {
    return runSteps(VimDetector.fitSteps("VimDetector.fit", features, logits, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, logits: TensorLike, options: VimOptions & LongWorkOptions = {}): Promise<VimDetector> {
    return runStepsAsync(VimDetector.fitSteps("VimDetector.fitAsync", features, logits, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, logits: TensorLike, options: VimOptions): Steps<VimDetector> {
    const statistics = yield* partOf(statisticsSteps(where, features, undefined, 1), 0, 0.5);
    return yield* partOf(VimDetector.fromSteps(where, statistics, { features, logits }, options), 0.5, 0.5);
  }

  /**
   * From statistics, which may come from many batches or machines; their classes do not matter.
   *
   * @param rows - `features` and `logits` of rows that alpha is taken from: those of the statistics, or a sample of them
   * @throws RangeError as `fit`, and for statistics without rows
   */
  static from(statistics: FeatureStatistics, rows: VimRows, options: VimOptions = {}): VimDetector {
    return runSteps(VimDetector.fromSteps("VimDetector.from", statistics, rows, options));
  }

  /** The pieces of `from`; `where` names the caller in errors. */
  static *fromSteps(where: string, statistics: FeatureStatistics, rows: VimRows, options: VimOptions): Steps<VimDetector> {
    checkStatistics(where, statistics);
    const { features, count } = statistics;
    const dimension = checkDimension(where, options.dimension, features, 0);
    const x = asFloat32(where, "features", rows.features), z = fitLogits(where, rows.logits);
    checkShape(where, "features", x, ["N", "F"]);
    const [n, width] = x.shape, [more, classes] = z.shape;
    if (width !== features || n === 0) throw rangeError(where, "features", `of shape [N, ${features}], N >= 1`, `[${n}, ${width}]`);
    checkSameRows(where, more, n);
    const subspace = yield* partOf(PrincipalSubspace.fromStatistics(statistics, originOf(where, options, features), dimension), 0, 0.9);
    const { alpha = alphaOf(where, subspace, x, z) } = options;
    if (!(alpha >= 0 && alpha < Infinity)) throw rangeError(where, "alpha", "a number >= 0", `${alpha}`);
    return new VimDetector(subspace, classes, count, alpha, statistics.finish().fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F] and `logits` float32 [..., C]
   * @returns float32 [...], of any sign. A row with NaN: NaN. With an infinity among the features, or too far for float32, or with only -Infinity among the logits: Infinity; with a logit of +Infinity: -Infinity
   *   unless the features are infinitely far
   * @throws RangeError without `features` or `logits`, for another width or number of rows
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const where = "VimDetector.score", { features, alpha } = this;
    const { x, z, count } = pairsOf(where, rows, features, this.classes);
    const residual = Float32Array.from(this.#subspace.lengths(x, count, "outside").outside, Math.sqrt);
    settle(residual, x.data, features, 0);
    const energy = logitStatistics(z, { select: ["energy"] }).energy.data;
    return new Tensor("float32", x.shape.slice(0, -1), residual.map((length, n) => (length === Infinity && energy[n] === energy[n] ? Infinity : alpha * length + energy[n])));
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#subspace.dispose();
  }

  toJSON(): VimDetectorJSON {
    return { format: FORMAT, version: 1, classes: this.classes, n: this.n, alpha: this.alpha, ...this.#subspace.toJSON() };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): VimDetector {
    const fields = readJson("VimDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const classes = fields.integer("classes", 1, 4194304), n = fields.integer("n", 1, Number.MAX_SAFE_INTEGER), alpha = fields.number("alpha", 0);
    return new VimDetector(PrincipalSubspace.fromFields(fields), classes, n, alpha, undefined);
  }
}

/** The mean of the largest logits over the mean of the residuals. */
function alphaOf(where: string, subspace: PrincipalSubspace, x: Tensor<"float32">, z: Tensor<"float32">): number {
  const [n, classes] = z.shape, { whole, outside } = subspace.lengths(x, n, "outside");
  let largest = 0, residual = 0, length = 0;
  for (let i = 0; i < n; i++) {
    let most = -Infinity;
    for (let c = 0; c < classes; c++) most = Math.max(most, z.data[i * classes + c]);
    largest += most / n;
    residual += Math.sqrt(outside[i]) / n;
    length += Math.sqrt(whole[i]) / n;
  }
  if (!(residual > ROUNDING * length)) throw rangeError(where, "dimension", "below the number of directions in which the rows vary", `${subspace.dimension}: they have no residual`, "Pass a smaller one, or alpha");
  if (!(largest > 0)) throw rangeError(where, "logits", "whose largest of each row are positive on average", `${largest}`, "Pass alpha");
  return largest / residual;
}
