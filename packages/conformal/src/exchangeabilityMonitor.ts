import { exp, log, quantile } from "@logits/statistics";
import { Tensor, asFloat32, checkInteger, rangeError, readJson, tensorToJSON, type TensorJSON, type TensorLike } from "@logits/tensor";
import { uniformOf } from "./scores.ts";

const FORMAT = "logits/exchangeability-monitor";
/** Bets against small, for none, and against large p-values. */
const BETS = [-1, 0, 1];

/** Options of `ExchangeabilityMonitor.start`. */
export interface ExchangeabilityMonitorOptions {
  /** The chance of ever raising an alarm while nothing changes, in (0, 1). Default 0.01. */
  readonly level?: number;
  /** Bins of the scores, an integer in [2, 65536]: the size of the state. Default 100, at most half of the reference rows. */
  readonly bins?: number;
  /** Share of the capital that changes its bet at each row, in (0, 1). Default 0.01. */
  readonly jump?: number;
  /** Seed of the numbers that break ties, an integer in [0, 2^53). Default 0. */
  readonly seed?: number;
}

/** What `ExchangeabilityMonitor` writes as JSON. */
export interface ExchangeabilityMonitorJSON {
  readonly format: "logits/exchangeability-monitor";
  readonly version: 1;
  readonly level: number;
  readonly jump: number;
  readonly seed: number;
  /** float32 [K - 1], ascending. */
  readonly edges: TensorJSON;
  /** int32 [K]. */
  readonly counts: TensorJSON;
  readonly capital: readonly number[];
  readonly rows: number;
  readonly logEvidence: number;
  readonly largestLogEvidence: number;
}

/**
 * Watches a stream of scores (nonconformity, uncertainty, loss: any number per row) for a departure from the reference rows, with a state of constant size that survives a reload.
 *
 *   p_t = (number of earlier rows in higher bins + v_t (number in the bin of row t, itself included)) / (number of rows so far), v_t uniform
 *   capital of bet e in {-1, 0, 1}:  C_e <- ((1 - J) C_e + J (C_-1 + C_0 + C_1) / 3) (1 + e (p_t - 1/2)),   evidence = C_-1 + C_0 + C_1, 1 at the start
 *
 * The promise: while reference rows and stream are exchangeable, the chance that the evidence ever reaches 1 / level is at most level, however long the stream and whenever one looks: `alarm` stays on once
 * that happened. The p-values are independent and uniform because earlier rows of the stream count along with the reference; p-values against a fixed calibration set are not, and raise false alarms in a long stream.
 * The edges of the bins are quantiles of every second reference row, the other half is the count that the stream starts from, so the reference rows must be in random order. A
 * change is seen against what came before it: as the changed rows come to outnumber the reference, the evidence stops growing, so give at least a few hundred reference rows.
 *
 * Sources: Vovk, Gammerman, Shafer, 2005, chapter 8; Vovk et al., "Retrain or not retrain: conformal test martingales for change-point detection", COPA 2021 (simple jumper); Ville, 1939.
 */
export class ExchangeabilityMonitor {
  readonly level: number;
  readonly jump: number;
  readonly seed: number;
  readonly #edges: Float32Array;
  readonly #counts: Int32Array;
  /** Shares of the capital by bet; they sum to 1, the sum is in the logarithm. */
  readonly #capital: Float64Array;
  #total: number;
  #rows: number;
  #logEvidence: number;
  #largest: number;

  private constructor(level: number, jump: number, seed: number, edges: Float32Array, counts: Int32Array, capital: Float64Array, rows: number, logEvidence: number, largest: number) {
    this.level = level;
    this.jump = jump;
    this.seed = seed;
    this.#edges = edges;
    this.#counts = counts;
    this.#capital = capital;
    this.#total = counts.reduce((all, count) => all + count, 0);
    this.#rows = rows;
    this.#logEvidence = logEvidence;
    this.#largest = largest;
  }

  /**
   * The state before the first row.
   *
   * @param reference - float32 [n], n >= 4, scores of rows that the stream should be like, in random order
   * @param options - `level` (0.01), `bins` (100), `jump` (0.01), `seed` (0)
   * @throws RangeError for fewer than 4 reference rows, NaN, an option out of its range
   * @example
   *   const monitor = ExchangeabilityMonitor.start(referenceScores, { level: 0.01 });
   *   for (const score of stream) if (monitor.update(score).alarm) break;
   */
  static start(reference: TensorLike, options: ExchangeabilityMonitorOptions = {}): ExchangeabilityMonitor {
    const where = "ExchangeabilityMonitor.start", { level = 0.01, bins = 100, jump = 0.01, seed = 0 } = options;
    if (!(level > 0 && level < 1)) throw rangeError(where, "level", "in (0, 1)", `${level}`);
    if (!(jump > 0 && jump < 1)) throw rangeError(where, "jump", "in (0, 1)", `${jump}`);
    checkInteger(where, "bins", bins, 2, 65536);
    checkInteger(where, "seed", seed, 0, Number.MAX_SAFE_INTEGER);
    const scores = asFloat32(where, "reference", reference);
    if (scores.shape.length !== 1 || scores.size < 4) throw rangeError(where, "reference", "of shape [n], n >= 4", `[${scores.shape.join(", ")}]`);
    const nan = scores.data.findIndex((score) => score !== score);
    if (nan >= 0) throw rangeError(where, "reference", "without NaN", `NaN at index ${nan}`);
    const half = scores.data.filter((_, i) => i % 2 === 0), count = Math.min(bins, half.length);
    // Edges are scores; infinite and equal ones make bins that nothing enters.
    const edges = Float32Array.from({ length: count - 1 }, (_, k) => quantile(half, Math.round(((k + 1) * (half.length - 1)) / count) / (half.length - 1)));
    for (let k = 0; k < edges.length; k++) edges[k] = Math.min(3.4028234663852886e38, Math.max(-3.4028234663852886e38, edges[k]));
    const counts = new Int32Array(count);
    for (let i = 1; i < scores.size; i += 2) counts[binOf(edges, scores.data[i])]++;
    return new ExchangeabilityMonitor(level, jump, seed, edges, counts, new Float64Array(3).fill(1 / 3), 0, 0, 0);
  }

  /** Rows of the stream so far. */
  get rows(): number {
    return this.#rows;
  }

  /** Logarithm of the evidence against exchangeability as it stands; 0 at the start. */
  get logEvidence(): number {
    return this.#logEvidence;
  }

  /** 1 / (the largest evidence so far), at most 1: a p-value that holds at every moment at once. */
  get pValue(): number {
    return exp(-this.#largest);
  }

  /** Whether the evidence has ever reached 1 / level. */
  get alarm(): boolean {
    return this.#largest >= -log(this.level);
  }

  /**
   * Takes in the score of the next row.
   *
   * @throws RangeError for NaN
   */
  update(score: number): this {
    if (typeof score !== "number" || score !== score) throw rangeError("ExchangeabilityMonitor.update", "score", "a number", `${score}`);
    const bin = binOf(this.#edges, Math.fround(score)), counts = this.#counts, capital = this.#capital;
    let above = 0;
    for (let k = bin + 1; k < counts.length; k++) above += counts[k];
    counts[bin]++;
    this.#total++;
    const p = (above + uniformOf(this.seed, 3, this.#rows) * counts[bin]) / this.#total;
    let sum = 0;
    for (let e = 0; e < 3; e++) sum += capital[e] = ((1 - this.jump) * capital[e] + this.jump / 3) * (1 + BETS[e] * (p - 0.5));
    for (let e = 0; e < 3; e++) capital[e] /= sum;
    this.#rows++;
    this.#logEvidence += log(sum);
    if (this.#logEvidence > this.#largest) this.#largest = this.#logEvidence;
    return this;
  }

  toJSON(): ExchangeabilityMonitorJSON {
    const { level, jump, seed, rows, logEvidence } = this;
    return {
      format: FORMAT, version: 1, level, jump, seed, edges: tensorToJSON(new Tensor("float32", [this.#edges.length], this.#edges)),
      counts: tensorToJSON(new Tensor("int32", [this.#counts.length], this.#counts)), capital: Array.from(this.#capital), rows, logEvidence, largestLogEvidence: this.#largest,
    };
  }

  /** Reads what `toJSON` wrote, bit by bit. FormatError for another format or version, or a field that is missing or not what it must be. */
  static fromJSON(json: unknown): ExchangeabilityMonitor {
    const fields = readJson("ExchangeabilityMonitor.fromJSON", json, FORMAT, 1, "@logits/conformal");
    const level = fields.number("level"), jump = fields.number("jump");
    if (!(level > 0 && level < 1)) fields.fail("level", "in (0, 1)", `${level}`);
    if (!(jump > 0 && jump < 1)) fields.fail("jump", "in (0, 1)", `${jump}`);
    const edges = fields.tensor("edges", "float32", 1).data.slice(), counts = fields.tensor("counts", "int32", 1).data.slice();
    for (let k = 1; k < edges.length; k++) if (edges[k] < edges[k - 1]) fields.fail("edges", "ascending", `${edges[k]} after ${edges[k - 1]} at index ${k}`);
    if (counts.length !== edges.length + 1) fields.fail("counts", `${edges.length + 1} counts, one more than \`edges\``, `${counts.length}`);
    const bad = counts.findIndex((count) => count < 0);
    if (bad >= 0) fields.fail("counts", ">= 0", `${counts[bad]} at index ${bad}`);
    const capital = fields.value("capital");
    if (!Array.isArray(capital) || capital.length !== 3 || !capital.every((share) => typeof share === "number" && share >= 0 && share <= 1) || !(Math.abs(capital[0] + capital[1] + capital[2] - 1) < 1e-9)) {
      return fields.fail("capital", "3 numbers in [0, 1] that sum to 1", JSON.stringify(capital));
    }
    const logEvidence = fields.number("logEvidence"), rows = fields.integer("rows", 0, Number.MAX_SAFE_INTEGER);
    const largest = fields.number("largestLogEvidence");
    if (!(largest >= logEvidence && largest >= 0)) fields.fail("largestLogEvidence", "at least 0 and `logEvidence`", `${largest}`);
    return new ExchangeabilityMonitor(level, jump, fields.integer("seed", 0, Number.MAX_SAFE_INTEGER), edges, counts, Float64Array.from(capital as number[]), rows, logEvidence, largest);
  }
}

/** The number of edges below the score: bin k holds (edge k - 1, edge k]. */
function binOf(edges: Float32Array, score: number): number {
  let low = 0, high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (edges[middle] < score) low = middle + 1;
    else high = middle;
  }
  return low;
}
