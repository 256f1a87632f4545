import { logitStatistics, matmul, topK } from "@logits/core-wasm";
import { Tensor, asFloat32, checkInteger, checkShape, randomSource, rangeError, readJson, runSteps, runStepsAsync, tensorToJSON, type LongWorkOptions, type Steps, type TensorJSON, type TensorLike } from "@logits/tensor";
import type { Detector, DetectorNeeds, DetectorRows } from "./detector.ts";
import { checkFinite } from "./featureRows.ts";
import { Fingerprints } from "./fingerprints.ts";
import { KeptMatrix } from "./keptMatrix.ts";
import { checkSameRows, fitLogits, pairsOf, settleRow } from "./logitRows.ts";

const FORMAT = "logits/neighbor-guided-detector";
/** Rows that are taken together, and products that are kept at a time. */
const ROWS = 512, PRODUCTS = 2 ** 22;

/** Options of `NeighborGuidedDetector.fit`. */
export interface NeighborGuidedOptions {
  /** How many neighbours, an integer in [1, rows that are kept]. Default 100, or all where there are fewer. */
  readonly k?: number;
  /** Rows to keep at most, drawn without replacement, an integer >= 1. Default all. */
  readonly maxRows?: number;
  /** Of the draw. Default 0. */
  readonly seed?: number;
}

/** What `NeighborGuidedDetector` writes as JSON. */
export interface NeighborGuidedDetectorJSON {
  readonly format: "logits/neighbor-guided-detector";
  readonly version: 1;
  readonly k: number;
  /** C. */
  readonly classes: number;
  /** float32 [M, F]: directions times log Z. */
  readonly bank: TensorJSON;
}

/**
 * The energy of a row, guided by how much its features point the way of rows that the model was sure of (NNGuide). Higher = more out-of-distribution.
 *
 *   score(f, z) = -log Z(z) * the mean of the k largest u(f) . u(f_n) log Z(z_n) over the bank,    u(f) = f / |f|,  log Z(z) = log sum_c exp(z_c)
 *
 * Exact: every row of the bank is looked at. A row of zeros has no direction: its score is 0. The energy must tell in the first place: with logits whose log Z is near 0 or negative (log-probabilities)
 * the product means nothing.
 *
 * The paper keeps 1 % of ImageNet's rows (13,000), drawn at random, and takes k = 10 to 100.
 *
 * Source: Park, Jung, Teoh, "Nearest neighbor guidance for out-of-distribution detection", ICCV 2023.
 */
export class NeighborGuidedDetector implements Detector {
  /** The format that `toJSON` writes: by it a reader finds the class. */
  static readonly format: string = FORMAT;
  readonly method = "nnGuide";
  readonly needs: readonly DetectorNeeds[] = ["logits", "features"];
  readonly k: number;
  /** Rows of the bank. */
  readonly n: number;
  /** F. */
  readonly features: number;
  /** C. */
  readonly classes: number;
  /** Recognises the rows of the fit, by their features; undefined when read from JSON. */
  readonly fingerprints: Fingerprints | undefined;
  readonly #bank: KeptMatrix;

  private constructor(k: number, classes: number, bank: KeptMatrix, fingerprints: Fingerprints | undefined) {
    this.k = k;
    this.classes = classes;
    [this.n, this.features] = bank.shape;
    this.fingerprints = fingerprints;
    this.#bank = bank;
    Object.freeze(this);
  }

  /**
   * Keeps directions and energies of rows.
   *
   * @param features - float32 [N, F], finite
   * @param logits - float32 [N, C] of the same rows, finite
   * @param options - `k` (100, at most the rows that are kept), `maxRows` (all), `seed` (0) of the draw
   * @throws RangeError for other shapes, numbers that are not finite (named), a `k` outside [1, rows that are kept], a `maxRows` below 1
   * @example
   *   const detector = NeighborGuidedDetector.fit([[1, 0], [0, 1]], [[5, 0], [0, 5]], { k: 1 });
   *   detector.score({ features: [[3, 0], [-1, -1]], logits: [[5, 0], [1, 0]] }); // -25.0672, 4.6493
   */
  static fit(features: TensorLike, logits: TensorLike, options: NeighborGuidedOptions = {}): NeighborGuidedDetector {
    return runSteps(NeighborGuidedDetector.fitSteps("NeighborGuidedDetector.fit", features, logits, options));
  }

  /** `fit` with pauses: the same bits. The data must not change meanwhile. Rejects with the signal's reason on abort. */
  static async fitAsync(features: TensorLike, logits: TensorLike, options: NeighborGuidedOptions & LongWorkOptions = {}): Promise<NeighborGuidedDetector> {
    return runStepsAsync(NeighborGuidedDetector.fitSteps("NeighborGuidedDetector.fitAsync", features, logits, options), options);
  }

  /** The pieces of `fit`, for an object that is composed of several fits; `where` names the caller in errors. */
  static *fitSteps(where: string, features: TensorLike, logits: TensorLike, options: NeighborGuidedOptions): Steps<NeighborGuidedDetector> {
    const { maxRows = 2 ** 31 - 1, seed = 0 } = options;
    const x = asFloat32(where, "features", features), z = fitLogits(where, logits);
    checkShape(where, "features", x, ["N", "F"]);
    const [rows, width] = x.shape, classes = z.shape[1];
    if (rows === 0 || width === 0) throw rangeError(where, "features", "of shape [N, F], N >= 1 and F >= 1", `[${rows}, ${width}]`);
    checkSameRows(where, z.shape[0], rows);
    checkInteger(where, "maxRows", maxRows, 1, 2 ** 31 - 1);
    const kept = Math.min(rows, maxRows), { k = Math.min(100, kept) } = options;
    checkInteger(where, "k", k, 1, kept);
    const fingerprints = new Fingerprints();
    for (let from = 0; from < rows; from += ROWS) {
      const to = Math.min(rows, from + ROWS);
      checkFinite(where, x.data, width, from, to);
      fingerprints.add({ data: x.data.slice(from * width, to * width), shape: [to - from, width] });
      yield (0.5 * to) / rows;
    }
    const chosen = kept === rows ? undefined : randomSource(seed, 0).permutation(rows).slice(0, kept).sort((a, b) => a - b), bank = new Float32Array(kept * width);
    for (let from = 0; from < kept; from += ROWS) {
      const to = Math.min(kept, from + ROWS);
      for (let i = from; i < to; i++) {
        const n = chosen === undefined ? i : chosen[i];
        const { energy } = logitStatistics({ data: z.data.slice(n * classes, (n + 1) * classes), shape: [1, classes] }, { select: ["energy"] });
        direct(x.data, n * width, bank, i * width, width, -energy.data[0]);
      }
      yield 0.5 + (0.5 * to) / kept;
    }
    return new NeighborGuidedDetector(k, classes, new KeptMatrix(bank, [kept, width]), fingerprints);
  }

  /**
   * One score per row; the same bits alone and in any batch.
   *
   * @param rows - `features` float32 [..., F] and `logits` float32 [..., C] of the same rows; -Infinity = impossible class
   * @returns float32 [...]. A row with NaN: NaN. With an infinity among its features, +Infinity among its logits or only -Infinity: Infinity
   * @throws RangeError without `features` or `logits`, or for other widths or numbers of rows
   */
  score(rows: DetectorRows): Tensor<"float32"> {
    const where = "NeighborGuidedDetector.score", { features, classes, k, n: kept } = this;
    const { x, z, count } = pairsOf(where, rows, features, classes);
    const scores = new Float32Array(count), together = Math.max(1, Math.min(ROWS, Math.floor(PRODUCTS / kept)));
    for (let first = 0; first < count; first += together) {
      const some = Math.min(together, count - first), units = new Float32Array(some * features), beyond: (number | undefined)[] = [];
      for (let n = 0; n < some; n++) {
        const at = (first + n) * features;
        beyond.push(settleRow(x.data.subarray(at, at + features)));
        if (beyond[n] === undefined) direct(x.data, at, units, n * features, features, 1);
      }
      const near = topK(matmul({ data: units, shape: [some, features] }, this.#bank.tensor, { transposeB: true }), k).values.data;
      const { data: energies } = logitStatistics({ data: z.data.slice(first * classes, (first + some) * classes), shape: [some, classes] }, { select: ["energy"] }).energy;
      for (let n = 0; n < some; n++) {
        const energy = energies[n];
        let sum = 0;
        for (let i = n * k; i < (n + 1) * k; i++) sum += near[i];
        scores[first + n] = energy !== energy ? NaN : (beyond[n] ?? (energy - energy === 0 ? energy * (sum / k) + 0 : Infinity));
      }
    }
    return new Tensor("float32", x.shape.slice(0, -1), scores);
  }

  /** Gives the WebAssembly memory back at once; without it that happens when the object is collected. The detector is of no use afterwards. */
  dispose(): void {
    this.#bank.dispose();
  }

  toJSON(): NeighborGuidedDetectorJSON {
    return { format: FORMAT, version: 1, k: this.k, classes: this.classes, bank: tensorToJSON(new Tensor("float32", [...this.#bank.shape], this.#bank.data)) };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): NeighborGuidedDetector {
    const fields = readJson("NeighborGuidedDetector.fromJSON", json, FORMAT, 1, "@logits/ood");
    const bank = fields.tensor("bank", "float32", 2), [rows, width] = bank.shape;
    if (rows === 0 || width === 0) fields.fail("bank", "of shape [M, F], M >= 1 and F >= 1", `[${rows}, ${width}]`);
    return new NeighborGuidedDetector(fields.integer("k", 1, rows), fields.integer("classes", 1, 2 ** 31 - 1), new KeptMatrix(bank.data.slice(), [rows, width]), undefined);
  }
}

/** out = x / |x| * times; a row of zeros stays. */
function direct(x: Float32Array, from: number, out: Float32Array, to: number, width: number, times: number): void {
  let sum = 0;
  for (let i = from; i < from + width; i++) sum += x[i] * x[i];
  const scale = sum === 0 ? 0 : times / Math.sqrt(sum);
  for (let j = 0; j < width; j++) out[to + j] = x[from + j] * scale;
}
