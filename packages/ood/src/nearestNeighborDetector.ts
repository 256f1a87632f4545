import { nearestNeighbors } from "@logits/core-wasm";
import { Tensor, asFloat32, checkInteger, checkShape, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { checkFinite, featuresOf, settle } from "./featureRows.ts";
import { Fingerprints } from "./fingerprints.ts";
import { KeptMatrix } from "./keptMatrix.ts";

const FORMAT = "logits/nearest-neighbor-detector";
/** Rows that are prepared together. */
const ROWS = 1024;

/** Options of `NearestNeighborDetector.fit`. */
export interface NearestNeighborOptions {
  /** Which neighbour, an integer in [1, N]. Default 10, or N where there are fewer rows. */
  readonly k?: number;
  /** Rows are divided by their length, so that directions are compared. Default true. */
  readonly normalize?: boolean;
}

/** What `NearestNeighborDetector` writes as JSON. */
export interface NearestNeighborDetectorJSON {
  readonly format: "logits/nearest-neighbor-detector";
  readonly version: 1;
  readonly k: number;
  readonly normalize: boolean;
  /** float32 [N, F], divided by their lengths if `normalize`. */
  readonly bank: TensorJSON;
}

/**
 * The distance to the k-th nearest row of the fit: no model of the features, all of them are kept. Higher = more out-of-distribution.
 *
 *   score(f) = the k-th smallest of |u(f) - u(f_n)| over n,    u(f) = f / |f| (or f itself with `normalize: false`)
 *
 * Exact: every row is looked at. Normalised distances lie in [0, 2]; a row of zeros has no direction and stays zero, at distance 1 of all others. Equal rows of the bank count as many
 * neighbours. A scored row that stands in the bank finds itself at distance 0 as its first neighbour: score other rows than those of the fit.
 *
 * The paper takes k = 50 for 50,000 rows of CIFAR and 1000 for 1.28 million of ImageNet, about a thousandth of the rows; the results change little around that.
 *
 * Source: Sun, Ming, Zhu, Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022.
 */
export class NearestNeighborDetector implements Detector {
  readonly method = "knn";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  readonly k: number;
  readonly normalize: boolean;
  /** F. */
  readonly features: number;
  /** Rows of the bank. */
  readonly n: number;
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #bank: KeptMatrix;

  private constructor(k: number, normalize: boolean, bank: KeptMatrix, fingerprints: Fingerprints | undefined) {
    this.k = k;
    this.normalize = normalize;
    [this.n, this.features] = bank.shape;
    this.fingerprints = fingerprints;
    this.#bank = bank;
    Object.freeze(this);
  }

  /**
   * Keeps the rows.
   *
   * @param features - float32 [N, F], finite
   * @param options - `k` (10, at most N), `normalize` (true)
   * @throws RangeError for another shape, a row with NaN or an infinity (named), a `k` outside [1, N]
   * @example
   *   NearestNeighborDetector.fit([[1, 0], [0, 2]], { k: 1 }).score({ features: [[5, 0], [0, -1]] }); // 0, 1.4142
   */
  static fit(features: TensorLike, options: NearestNeighborOptions = {}): NearestNeighborDetector {
    return runSteps(NearestNeighborDetector.fitSteps("NearestNeighborDetector.fit", features, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, options: NearestNeighborOptions & LongWorkOptions = {}): Promise<NearestNeighborDetector> {
    return runStepsAsync(NearestNeighborDetector.fitSteps("NearestNeighborDetector.fitAsync", features, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, options: NearestNeighborOptions): Steps<NearestNeighborDetector> {
    const { normalize = true } = options;
    const x = asFloat32(where, "features", features);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape;
    const { k = Math.min(10, rows) } = options;
    if (rows === 0 || width === 0) throw rangeError(where, "features", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
    if (Number.isInteger(k) && k > rows) throw rangeError(where, "k", `at most the number of rows, ${rows}`, `${k}`);
    checkInteger(where, "k", k, 1, rows);
    const fingerprints = new Fingerprints();
    const bank = new Float32Array(rows * width);
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS);
      checkFinite(where, x.data, width, from, to);
      const part = x.data.subarray(from * width, to * width);
      fingerprints.add({ data: part, shape: [to - from, width] });
      prepare(part, width, normalize, bank.subarray(from * width, to * width));
      yield to / rows;
    }
    return new NearestNeighborDetector(k, normalize, new KeptMatrix(bank, [rows, width]), fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F]
   * @returns float32 [...], distances >= 0. A row with NaN: NaN. With an infinity, or too far for float32: Infinity
   * @throws RangeError without `features`, or for another width
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const { features, k } = this;
    const { x, count } = featuresOf("NearestNeighborDetector.score", rows, features);
    const scores = new Float32Array(count);
    for (let first = 0; first < count; first += ROWS) {
      const some = Math.min(ROWS, count - first);
      const queries = new Float32Array(some * features);
      prepare(x.data.subarray(first * features, (first + some) * features), features, this.normalize, queries);
      const { data } = nearestNeighbors({ data: queries, shape: [some, features] }, this.#bank.tensor, k).distances;
      const part = scores.subarray(first, first + some);
      for (let n = 0; n < some; n++) part[n] = Math.sqrt(data[n * k + k - 1]);
      settle(part, x.data, features, first);
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#bank.dispose();
  }

  toJSON(): NearestNeighborDetectorJSON {
    return { format: FORMAT, version: 1, k: this.k, normalize: this.normalize, bank: tensorToJSON(new Tensor("float32", [...this.#bank.shape], this.#bank.data)) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): NearestNeighborDetector {
    const fields = readJson("NearestNeighborDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const bank = fields.tensor("bank", "float32", 2);
    const [rows, width] = bank.shape;
    if (rows === 0 || width === 0) fields.fail("bank", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
    return new NearestNeighborDetector(fields.integer("k", 1, rows), fields.boolean("normalize"), new KeptMatrix(bank.data.slice(), [rows, width]), undefined);
  }
}

/** Rows divided by their lengths where `normalize` says so; a row of zeros stays. */
function prepare(x: Float32Array, width: number, normalize: boolean, out: Float32Array): void {
  if (!normalize) {
    out.set(x);
    return;
  }
  for (let from = 0; from < x.length; from += width) {
    let sum = 0;
    for (let i = from; i < from + width; i++) sum += x[i] * x[i];
    const scale = sum === 0 ? 0 : 1 / Math.sqrt(sum);
    for (let i = from; i < from + width; i++) out[i] = x[i] * scale;
  }
}
