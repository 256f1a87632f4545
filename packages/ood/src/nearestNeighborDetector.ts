import { Int8Bank, farthestPointsSteps, nearestNeighbors, type NearestNeighbors } from "@logits/core-wasm";
import { Tensor, asFloat32, checkInteger, checkShape, partOf, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { checkFinite, featuresOf, settle } from "./featureRows.ts";
import { Fingerprints } from "./fingerprints.ts";
import { KeptMatrix } from "./keptMatrix.ts";
import { unitRows } from "./unitRows.ts";

const FORMAT = "logits/nearest-neighbor-detector";
const SCANS = ["float32", "int8"] as const;
/** Rows that are prepared together. */
const ROWS = 1024;

/** Gives the bytes of a bank back when the detector is collected without having been disposed of. */
const forgotten = typeof FinalizationRegistry === "undefined" ? undefined : /* @__PURE__ */ new FinalizationRegistry<Int8Bank>((bank) => bank.dispose());

/** Options of `NearestNeighborDetector.fit`. */
export interface NearestNeighborOptions {
  /** Which neighbour, an integer in [1, N]. Default 10, or N where there are fewer rows. */
  readonly k?: number;
  /** Rows are divided by their length, so that directions are compared. Default true. */
  readonly normalize?: boolean;
  /** Rows to keep at most, an integer >= 1: a coreset, chosen by greedy k-centre. Default all. */
  readonly maxRows?: number;
  /** "int8" keeps a quarter more memory and scores a row two to four times as fast, with the same bits. Default "float32". */
  readonly scan?: "float32" | "int8";
}

/** What `NearestNeighborDetector` writes as JSON. */
export interface NearestNeighborDetectorJSON {
  readonly format: "logits/nearest-neighbor-detector";
  readonly version: 1;
  readonly k: number;
  readonly normalize: boolean;
  /** float32 [N, F], divided by their lengths if `normalize`. */
  readonly bank: TensorJSON;
  /** Where it is not "float32". */
  readonly scan?: "int8";
  /** Of a coreset. */
  readonly radius?: number;
}

/**
 * The distance to the k-th nearest row of the fit: no model of the features, all of them are kept. Higher = more out-of-distribution.
 *
 *   score(f) = the k-th smallest of |u(f) - u(f_n)| over n,    u(f) = f / |f| (or f itself with `normalize: false`)
 *
 * Exact: every row of the bank is looked at, also with `scan: "int8"`, where bytes tell which rows are certainly too far. Normalised distances lie in [0, 2]; a row of zeros has no direction and stays zero, at distance 1 of all others. Equal rows of the bank count as many
 * neighbours. A scored row that stands in the bank finds itself at distance 0 as its first neighbour: score other rows than those of the fit.
 *
 * **A coreset** (`maxRows`) keeps rows that are far from each other: every row of the fit lies within `radius` of one of them, so that with k = 1 no score exceeds that of all rows by more than `radius`, and none is
 * below it. Distances of several neighbours grow with a thinner bank: take a smaller k.
 *
 * The paper takes k = 50 for 50,000 rows of CIFAR and 1000 for 1.28 million of ImageNet, about a thousandth of the rows; the results change little around that.
 *
 * Source: Sun, Ming, Zhu, Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022. Coreset: Roth et al., "Towards Total Recall in Industrial Anomaly Detection", CVPR 2022 (PatchCore),
 * which draws the first row and projects at random where this does neither.
 */
export class NearestNeighborDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "knn";
  readonly needs: readonly DetectorNeeds[] = ["features"];
  readonly k: number;
  readonly normalize: boolean;
  /** F. */
  readonly features: number;
  /** Rows of the bank. */
  readonly n: number;
  readonly scan: "float32" | "int8";
  /** The largest distance of a row of the fit from its nearest row of the bank: 0 unless `maxRows` left rows out. */
  readonly radius: number;
  /** Recognises the rows of the fit; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #bank: KeptMatrix;
  readonly #bytes: { bank?: Int8Bank } = {};

  private constructor(k: number, normalize: boolean, scan: "float32" | "int8", radius: number, bank: KeptMatrix, fingerprints: Fingerprints | undefined) {
    this.k = k;
    this.normalize = normalize;
    this.scan = scan;
    this.radius = radius;
    [this.n, this.features] = bank.shape;
    this.fingerprints = fingerprints;
    this.#bank = bank;
    Object.freeze(this);
  }

  /**
   * Keeps the rows.
   *
   * @param features - float32 [N, F], finite
   * @param options - `k` (10, at most the rows that are kept), `normalize` (true), `maxRows` (all), `scan` ("float32")
   * @throws RangeError for another shape, a row with NaN or an infinity (named), a `k` outside [1, rows that are kept], a `maxRows` below 1
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
    const { normalize = true, maxRows = 2 ** 31 - 1, scan = "float32" } = options;
    const x = asFloat32(where, "features", features);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape;
    checkInteger(where, "maxRows", maxRows, 1, 2 ** 31 - 1);
    if (!SCANS.includes(scan)) throw rangeError(where, "scan", '"float32" or "int8"', `${scan}`);
    const kept = Math.min(rows, maxRows);
    const { k = Math.min(10, kept) } = options;
    if (rows === 0 || width === 0) throw rangeError(where, "features", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
    if (Number.isInteger(k) && k > kept) throw rangeError(where, "k", `at most the number of rows, ${kept}`, `${k}`);
    checkInteger(where, "k", k, 1, kept);
    const fingerprints = new Fingerprints();
    const bank = new Float32Array(rows * width);
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS);
      checkFinite(where, x.data, width, from, to);
      const part = x.data.subarray(from * width, to * width);
      fingerprints.add({ data: part, shape: [to - from, width] });
      bank.set(normalize ? unitRows(part, width) : part, from * width);
      yield (kept < rows ? 0.2 : 1) * (to / rows);
    }
    if (kept === rows) return new NearestNeighborDetector(k, normalize, scan, 0, new KeptMatrix(bank, [rows, width]), fingerprints);
    const { indices, radius } = yield* partOf(farthestPointsSteps(where, { data: bank, shape: [rows, width] }, kept), 0.2, 0.8);
    const some = new Float32Array(kept * width);
    indices.data.toSorted().forEach((row, i) => some.set(bank.subarray(row * width, (row + 1) * width), i * width));
    return new NearestNeighborDetector(k, normalize, scan, radius, new KeptMatrix(some, [kept, width]), fingerprints);
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
      const own = x.data.slice(first * features, (first + some) * features), queries = this.normalize ? unitRows(own, features) : own;
      const { data } = this.#nearest({ data: queries, shape: [some, features] }).distances;
      const part = scores.subarray(first, first + some);
      for (let n = 0; n < some; n++) part[n] = Math.sqrt(data[n * k + k - 1]);
      settle(part, x.data, features, first);
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /** Gives back the WebAssembly memory at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#bytes.bank?.dispose();
    this.#bank.dispose();
  }

  toJSON(): NearestNeighborDetectorJSON {
    const { k, normalize, scan, radius } = this;
    return {
      format: FORMAT, version: 1, k, normalize, bank: tensorToJSON(new Tensor("float32", [...this.#bank.shape], this.#bank.data)),
      ...(scan === "int8" && { scan }), ...(radius > 0 && { radius }),
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): NearestNeighborDetector {
    const fields = readJson("NearestNeighborDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const bank = fields.tensor("bank", "float32", 2);
    const [rows, width] = bank.shape;
    if (rows === 0 || width === 0) fields.fail("bank", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
    const scan = Object.hasOwn(json as object, "scan") ? fields.oneOf("scan", SCANS) : "float32";
    const radius = Object.hasOwn(json as object, "radius") ? fields.number("radius", 0) : 0;
    return new NearestNeighborDetector(fields.integer("k", 1, rows), fields.boolean("normalize"), scan, radius, new KeptMatrix(bank.data.slice(), [rows, width]), undefined);
  }

  #nearest(queries: TensorLike): NearestNeighbors {
    const bank = this.#bank.tensor, { k } = this;
    if (this.scan === "float32") return nearestNeighbors(queries, bank, k);
    if (this.#bytes.bank === undefined) {
      this.#bytes.bank = Int8Bank.of(bank);
      forgotten?.register(this, this.#bytes.bank);
    }
    return this.#bytes.bank.nearest(queries, k);
  }
}
